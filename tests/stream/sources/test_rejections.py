"""Rejected rows: all are counted, the first of each reason are told."""

from stream.sources.rejections import MAX_ROW_CHARACTERS, Rejection, Rejections


def fill(rejections: Rejections) -> None:
    for place in range(1, 5):
        rejections.add("f.csv", "line", place, "no user", "x" * 2000)
    rejections.add("f.csv", "line", 9, "no item", "y")


def test_the_first_of_each_reason_are_told_and_all_are_counted() -> None:
    told: list[Rejection] = []
    rejections = Rejections(told.append, 2)
    fill(rejections)
    assert [(rejection.reason, rejection.place) for rejection in told] == [
        ("no user", 1),
        ("no user", 2),
        ("no item", 9),
    ]
    assert len(told[0].row) == MAX_ROW_CHARACTERS
    assert rejections.counts == {"no user": 4, "no item": 1}
    assert (rejections.room("no user", 3), rejections.room("no item", 3)) == (0, 1)


def test_without_a_bound_all_are_told_and_without_a_listener_none() -> None:
    told: list[Rejection] = []
    fill(Rejections(told.append, None))
    assert len(told) == 5
    silent = Rejections()
    fill(silent)
    assert silent.room("anything", 5) == 0
    assert silent.counts.total() == 5
