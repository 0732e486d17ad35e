"""Memory of a family: shared pages once, the peak kept, the quiet figure without what only passes by."""

import mmap
import multiprocessing
import time
from multiprocessing.synchronize import Event

import psutil
import pytest

from sagestream.playground import memory
from sagestream.playground.memory import MemoryWatch, family, pss_mb, rss_mb
from tests.waiting import wait_until

SHARED_MB = 60
WAIT_SECONDS = 30.0

needs_pss = pytest.mark.skipif(not memory.HAS_PSS, reason="the system tells no proportional set size")


def touch_and_wait(shared: mmap.mmap, touched: Event, done: Event) -> None:
    for page in range(0, len(shared), mmap.PAGESIZE):
        shared[page]
    touched.set()
    done.wait(WAIT_SECONDS)


@needs_pss
def test_pages_that_two_processes_share_count_once() -> None:
    context = multiprocessing.get_context("fork")  # the child sees the same pages
    with mmap.mmap(-1, SHARED_MB * 1_000_000) as shared:
        shared.write(b"x" * len(shared))
        touched, done = context.Event(), context.Event()
        child = context.Process(target=touch_and_wait, args=(shared, touched, done))
        child.start()
        try:
            assert touched.wait(WAIT_SECONDS)
            processes = family()
            assert child.pid in {process.pid for process in processes}
            assert rss_mb(processes) - pss_mb(processes) > 0.9 * SHARED_MB
        finally:
            done.set()
            child.join()


def test_one_that_has_ended_counts_nothing() -> None:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    child.start()
    process = psutil.Process(child.pid)
    wait_until(lambda: rss_mb([process]) > 1)
    child.kill()
    child.join()
    assert rss_mb([process]) == pss_mb([process]) == 0


def test_the_peak_stays_and_quiet_is_told_once_everything_runs() -> None:
    before = pss_mb(family())
    watch = MemoryWatch()
    watch.start()
    ballast = bytearray(80_000_000)
    ballast[:: mmap.PAGESIZE] = b"x" * len(ballast[:: mmap.PAGESIZE])
    wait_until(lambda: watch.peak_pss_mb > before + 60)
    assert watch.quiet_pss_mb is None
    del ballast
    watch.all_running()
    wait_until(lambda: watch.quiet_pss_mb is not None)
    watch.stop()
    quiet = watch.quiet_pss_mb
    assert quiet is not None
    assert quiet + 40 < watch.peak_pss_mb
    assert watch.peak_rss_mb > before + 60


def test_a_process_that_passes_by_is_not_of_the_quiet_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [(3, 900.0), (2, 500.0), (2, 510.0), (3, 950.0), (2, 520.0)]
    looks: list[tuple[int, float]] = []

    def next_family() -> list[None]:
        looks.append(seen[len(looks)] if len(looks) < len(seen) else (2, 510.0))
        return [None] * looks[-1][0]

    monkeypatch.setattr(memory, "family", next_family)
    monkeypatch.setattr(memory, "rss_mb", lambda _: looks[-1][1])
    monkeypatch.setattr(memory, "pss_mb", lambda _: looks[-1][1])
    monkeypatch.setattr(memory, "INTERVAL_SECONDS", 0.001)
    monkeypatch.setattr(memory, "QUIET_INTERVAL_SECONDS", 0.0)
    watch = MemoryWatch()
    watch.all_running()
    watch.start()
    wait_until(lambda: len(looks) > len(seen))
    watch.stop()
    assert watch.quiet_pss_mb == 510.0
    assert watch.peak_pss_mb == 950.0


def test_without_pss_the_resident_size_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "HAS_PSS", False)
    monkeypatch.setattr(memory, "rss_mb", lambda _: 123.0)
    assert pss_mb(family()) == 123.0
