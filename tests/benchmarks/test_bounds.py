"""A bound is met, missed, or not measured."""

import pytest

from benchmarks.bounds import judged, rows


@pytest.mark.parametrize(
    ("value", "word", "met"),
    [
        (2.0, "at least", True),
        (2.0, "at most", True),
        (2.0, "below", False),
        (1.9, "at least", False),
        (None, "below", None),
    ],
)
def test_a_figure_keeps_its_bound_by_its_word(value: float | None, word: str, met: bool | None) -> None:
    assert judged({"x": value}, {"x": (2.0, word)}) == {"x": {"value": value, "bound": f"{word} 2", "met": met}}


def test_what_is_judged_is_not_rounded() -> None:
    found = judged({"x": 1.7004}, {"x": (1.7, "at most")}, digits=2)
    assert found == {"x": {"value": 1.7, "bound": "at most 1.7", "met": False}}


def test_a_row_says_what_became_of_each_bound() -> None:
    found = judged({"x": 1234.5}, {"x": (2.0, "at most"), "y": (1.0, "below")})
    assert rows(found)[-2:] == ["| x | 1,234.5 | at most 2 | missed |", "| y | not run | below 1 |  |"]
