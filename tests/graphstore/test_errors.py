"""Refusals: what a user can mend is told in words, and what an error says is told without its class."""

import errno
import pickle
import socket
from pathlib import Path

import pytest
from kafka.errors import KafkaTimeoutError, UnknownTopicOrPartitionError
from sqlalchemy.exc import OperationalError

from graphstore.errors import MissingExtra, UnusableFile, UserError, file_errors, missing_extra, reason


def test_an_error_of_the_named_file_becomes_a_refusal(tmp_path: Path) -> None:
    named = tmp_path / "deep" / "list.json"
    with pytest.raises(UnusableFile, match=r"list\.json: No such file or directory$"), file_errors(named):
        named.open()
    (tmp_path / "deep").touch()
    with pytest.raises(UnusableFile, match=r"deep: File exists$"), file_errors(named):
        named.parent.mkdir()
    with pytest.raises(UnusableFile, match=r"list\.json: No space left on device$"), file_errors(named):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_of_another_file_or_of_a_socket_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), file_errors(tmp_path / "named" / "list.json"):
        (tmp_path / "ours" / "weights.pt").open()
    with pytest.raises(ConnectionRefusedError), file_errors(tmp_path / "list.json"):
        socket.create_connection(("127.0.0.1", 1), timeout=1)


def test_a_missing_extra_names_the_command_and_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(missing_extra("optuna", "tune")))  # noqa: S301 - our own bytes
    assert isinstance(error, MissingExtra)
    assert isinstance(error, UserError)
    assert str(error) == 'optuna is not installed: pip install ".[tune]"'


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("wrong\nand more"), "wrong"),
        (OperationalError("SELECT 1", {}, ValueError("database is locked")), "database is locked"),
        (KafkaTimeoutError("no answer"), "no answer"),
        (KafkaTimeoutError(), "kafka timeout error"),
        (UnknownTopicOrPartitionError("here"), "here"),
        (TimeoutError(), "timeout error"),
    ],
)
def test_what_an_error_says_is_told_without_its_class(error: Exception, said: str) -> None:
    assert reason(error) == said
