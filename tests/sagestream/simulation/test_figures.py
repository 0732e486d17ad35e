"""Figures on courses whose answer is known."""

import pytest

from graphstore.retention import DAY_MS
from sagestream.simulation.figures import Courses, Estimate, curves, ratio, recovery, retrain_windows
from sagestream.simulation.policies import PolicyName, Trained
from sagestream.simulation.run import Course, Span
from sagestream.simulation.traffic import Counts

DAY = 4


def course(policy: PolicyName, clicks: list[float], retrained: tuple[float, ...] = ()) -> Course:
    """One span a day, 100 items shown in each."""
    spans = [
        Span(day * DAY_MS, (day + 1) * DAY_MS, Counts(shown=100, clicks=int(n), expected_clicks=n, revenue=2 * n))
        for day, n in enumerate(clicks)
    ]
    runs = [Trained(round(day * DAY_MS), "incremental", "kept", "m") for day in retrained]
    return Course(policy, 0, spans, runs)


def shop(loop: list[float], retrained: tuple[float, ...] = (3.0, 5.0, 6.0, 7.0, 8.0)) -> Courses:
    """The oracle loses a fifth on day 4, the frozen model half."""
    return {
        "loop": course("loop", loop, retrained),
        "frozen": course("frozen", [5.0] * DAY + [2.0] * 5),
        "oracle": course("oracle", [10.0] * DAY + [8.0] * 5),
    }


def test_what_is_back_is_measured_after_the_third_retrain() -> None:
    found = recovery([shop([5, 5, 5, 5, 2, 2, 3, 4, 4])], day=DAY)
    assert [estimate.mean for estimate in found.after_each] == pytest.approx([0.5, 0.75, 1.0])
    assert found.recovered.mean == pytest.approx(1.0)
    assert found.frozen.mean == pytest.approx(0.5)
    assert found.retrains == 3


def test_a_loop_that_does_not_come_back_says_so() -> None:
    found = recovery([shop([5, 5, 5, 5, 2, 2, 2, 2, 9])], day=DAY)
    assert found.retrains is None
    assert found.recovered.mean == pytest.approx(0.5)


def test_a_run_before_the_injection_does_not_count() -> None:
    found = recovery([shop([5, 5, 5, 5, 4, 4, 4, 4, 4], (1.0, 2.0))], day=DAY)
    assert found.after_each == []
    assert found.retrains is None
    assert found.recovered.mean == pytest.approx(1.0)  # the last day


def test_seeds_are_averaged() -> None:
    found = recovery([shop([5, 5, 5, 5, 2, 2, 2, 4, 4]), shop([5, 5, 5, 5, 2, 2, 2, 3, 3])], day=DAY)
    assert found.recovered.mean == pytest.approx((1.0 + 0.75) / 2)
    assert found.recovered.low is not None
    assert found.recovered.low < found.recovered.mean


def test_a_window_lasts_until_the_next_retrain_but_at_least_a_day() -> None:
    half = DAY_MS // 2
    assert retrain_windows([0, 3 * DAY_MS, 3 * DAY_MS + half], 4 * DAY_MS + half) == [
        (0, 3 * DAY_MS),
        (3 * DAY_MS, 4 * DAY_MS),
        (3 * DAY_MS + half, 4 * DAY_MS + half),
    ]
    assert retrain_windows([3 * DAY_MS], 4 * DAY_MS - 1) == []


def test_a_ratio_leaves_out_the_first_day() -> None:
    courses: Courses = {"loop": course("loop", [1.0, 6.0]), "nightly": course("nightly", [9.0, 3.0])}
    assert ratio([courses], "loop", "nightly") == Estimate(2.0, None, None)


def test_curves_are_by_day() -> None:
    found = curves([{"loop": course("loop", [5.0, 6.0], (1.0,))}, {"loop": course("loop", [7.0, 6.0])}])
    assert found["loop"]["expected_ctr"] == [0.06, 0.06]
    assert found["loop"]["revenue"] == [12.0, 12.0]
    assert found["loop"]["retrains"] == [[1.0], []]
    assert found["loop"]["promoted"] == [0, 0]
