"""Ctrl-C: asked once, asked twice, asked while nothing comes."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from sagestream.interruption import Interruption
from tests.waiting import without_waiting


def test_the_first_signal_asks_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_sleep_ends_when_somebody_asks() -> None:
    with Interruption() as interruption:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with without_waiting(30):
            interruption.sleep(60)


def test_lines_that_do_not_come_are_not_waited_for() -> None:
    def typed() -> Iterator[bytes]:
        yield b"one"
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(60)
        yield b"two"

    with Interruption() as interruption:
        assert list(interruption.waiting(typed())) == [b"one"]
        assert interruption.asked


def test_lines_end_with_their_source() -> None:
    with Interruption() as interruption:
        assert list(interruption.waiting([b"one", b"two"])) == [b"one", b"two"]
        assert not interruption.asked
