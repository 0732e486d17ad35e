"""The benchmark of the loop: its figures and words, on courses whose answer is known."""

from pathlib import Path

import pytest

from benchmarks.loop import (
    PARTS,
    as_markdown,
    bad_champion_figures,
    injection_figures,
    parse_arguments,
    quiet_figures,
)
from benchmarks.loop_plot import plot
from graphstore.retention import DAY_MS
from sagestream.simulation.bad_champion import Damage
from sagestream.simulation.figures import Courses, curves
from sagestream.simulation.policies import POLICIES, PolicyName, Trained
from sagestream.simulation.run import Course, Span
from sagestream.simulation.traffic import Counts


def course(policy: PolicyName, clicks: list[float]) -> Course:
    spans = [
        Span(day * DAY_MS, (day + 1) * DAY_MS, Counts(shown=100, clicks=int(n), expected_clicks=n))
        for day, n in enumerate(clicks)
    ]
    runs = [Trained(day * DAY_MS, "incremental", "promoted", "m") for day in (3, 4)] if policy == "loop" else []
    return Course(policy, 0, spans, runs)


@pytest.fixture
def courses() -> Courses:
    clicks = {"oracle": [8.0, 8, 8, 8, 8], "loop": [4.0, 4, 2, 3, 4]}
    return {policy: course(policy, clicks.get(policy, [4.0, 4, 2, 2, 2])) for policy in POLICIES}


def test_figures_of_an_injection(courses: Courses) -> None:
    found = injection_figures([courses], 2)
    assert (found["recovered"], found["retrains"], found["frozen"]) == (1.0, 2, 0.5)
    assert found["after_each"] == [0.75, 1.0]


def test_figures_of_a_quiet_shop(courses: Courses) -> None:
    found = quiet_figures([courses, courses])
    assert found["loop_to_nightly"] == pytest.approx(13 / 10)
    assert found["interval"] == [1.3, 1.3]


def test_figures_of_a_bad_champion() -> None:
    found = bad_champion_figures(
        {"inverted": [Damage(0.004, True, 8.0, 1e4, 0.2), Damage(0.008, True, 9.0, 1e4, 0.2)], "shuffled": []}
    )
    assert (found["clicks_lost_share"], found["rolled_back"]) == (0.006, True)


def test_tables_and_plot(courses: Courses, tmp_path: Path) -> None:
    found = {
        "injections": {"taste_shift": injection_figures([courses], 2)},
        "quiet": quiet_figures([courses]),
        "bad_champion": bad_champion_figures({"inverted": [Damage(0.004, True, 8.0, 1e4, 0.2)]}),
    }
    told = as_markdown(found)
    assert "| taste_shift | 1.00 | 0.75, 1.00 | 0.50 |" in told
    assert "| nightly | 1.300 |" in told
    assert "| inverted | 0.40% | True | 8 |" in told
    drawn = plot({"quiet": curves([courses])}, tmp_path / "loop.png", injection_day=2)
    assert drawn.stat().st_size > 10_000


def test_arguments() -> None:
    assert tuple(parse_arguments(["--json", "out"]).only) == PARTS
    for wrong in (["--days", "5", "--injection-day", "4"], ["--seeds", "0"], ["--only", "flood"]):
        with pytest.raises(SystemExit):
            parse_arguments(["--json", "out", *wrong])
