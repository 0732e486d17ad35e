"""A lasting drift asks once; after a calm day the next one asks again."""

from dataclasses import replace

import pytest

from graphstore.session import read, write
from monitoring.drift.verdict import DriftResult
from monitoring.triggers.ask import request
from monitoring.triggers.lasting_drift import calm, drift_reason
from monitoring.windows import TimeWindow, write_figures

HOUR_MS = 3_600_000
RESULT = DriftResult("drift", "3 of 7 columns", TimeWindow(0, 5), TimeWindow(5, 9), 10, 20, share=0.43)


@pytest.mark.parametrize(
    ("verdict", "reason"), [("drift", "drift: 3 of 7 columns"), ("stable", None), ("insufficient", None)]
)
def test_only_drift_is_a_reason(sqlite_engine, verdict, reason):
    with read(sqlite_engine) as connection:
        found = drift_reason(connection, replace(RESULT, verdict=verdict))
        assert (found.text if found else None) == reason
        if found:
            assert found.figures == {"drift": {"share": 0.43, "psi": {}, "thresholds": {}, "drifted": []}}
        assert drift_reason(connection, None) is None


@pytest.mark.parametrize(
    ("verdicts", "over"),
    [
        ([(0, "drift"), (30, "drift")], False),
        ([(0, "stable"), (23, "stable")], False),
        ([(0, "stable"), (24, "stable")], True),
        ([(0, "stable"), (12, "drift"), (13, "stable"), (30, "stable")], False),  # it goes to and fro
        ([(0, "stable"), (12, "insufficient"), (24, "stable"), (30, "drift")], True),
        ([(0, "insufficient"), (48, "insufficient")], False),
    ],
)
def test_a_drift_is_over_after_a_calm_day(verdicts, over):
    assert calm([(hour * HOUR_MS, verdict) for hour, verdict in verdicts]) is over


def test_a_lasting_drift_asks_once_and_the_next_one_again(engine):
    asked = []
    words = ["drift"] * 60 + ["stable"] * 30 + ["drift"] * 10
    for hour, word in enumerate(words):
        now = hour * HOUR_MS
        result = replace(RESULT, verdict=word, current=TimeWindow(0, now))
        with write(engine) as connection:
            write_figures(connection, [result.figure()])
            found = drift_reason(connection, result)
            if found is not None:
                asked.append(hour)
                request(connection, [found], now=now, cooldown_seconds=0)
    # The second one waits in the table all the time, so it is asked for once as well, and refused nine times.
    assert asked == [0, *range(90, 100)]
