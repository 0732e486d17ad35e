"""Which lines of a long job a log gets."""

import pytest

from sagestream.progress_lines import LINE_SECONDS, STAGE_SECONDS, ProgressLines


class Log:
    """The lines that came through, at times that the test sets."""

    def __init__(self) -> None:
        self.time = 100.0
        self.lines: list[str] = []
        self.progress = ProgressLines(self.lines.append, whole="all fits", now=lambda: self.time)


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_long_stage_says_something_now_and_then(log: Log) -> None:
    log.progress.always("als: tuning and fit", 0.0)
    for step in range(1, 1_001):
        log.time += 1.0
        log.progress(f"als: step {step} · {step * 0.9:.0f} CPU s", step / 1_000)
    assert len(log.lines) == pytest.approx(1_000 / LINE_SECONDS, abs=2)
    assert log.lines[0] == "als: tuning and fit · 0% of all fits"
    assert log.lines[2].endswith("CPU s · 4% of all fits")


def test_a_new_stage_is_told_soon_and_short_stages_are_not(log: Log) -> None:
    log.progress.always("als: tuning and fit", 0.0)
    log.time += STAGE_SECONDS - 1
    log.progress("als: alpha", 0.1)
    assert len(log.lines) == 1
    log.time += 1
    log.progress("als: factors", 0.2)
    log.time += STAGE_SECONDS
    log.progress("als: factors", 0.3)
    assert log.lines[1:] == ["als: factors · 20% of all fits"]
    log.progress("als: iterations", 0.4)
    assert log.lines[2:] == ["als: iterations · 40% of all fits"]


def test_a_line_that_must_be_told_is_told_at_once(log: Log) -> None:
    log.progress.always("one", 0.5)
    log.progress.always("one", 0.5)
    assert log.lines == ["one · 50% of all fits"] * 2
