"""The rows of metric_windows: replaced, found again newest first, and never too long for their column."""

import pytest

from graphstore.session import read, write
from graphstore.tables import ID_LENGTH
from monitoring.windows import Figure, TimeWindow, read_figures, segment_name, write_figures


def store(engine, *figures):
    with write(engine) as connection:
        return write_figures(connection, figures)


def find(engine, **arguments):
    with read(engine) as connection:
        return read_figures(connection, "ctr", **arguments)


def test_a_figure_comes_back_as_it_was_written_and_is_replaced(engine):
    figure = Figure("ctr", "all", TimeWindow(0, 10), 0.25, 0.1, 0.4, {"impressions": 8})
    assert store(engine, figure) == 1
    assert find(engine) == [figure]
    emptied = Figure("ctr", "all", TimeWindow(0, 10), None)
    store(engine, emptied)
    assert find(engine, limit=9) == [emptied]


def test_the_newest_windows_come_first_and_none_that_ends_too_late(engine):
    figures = [Figure("ctr", "all", TimeWindow(start, start + 10), float(start)) for start in (0, 10, 20)]
    store(
        engine,
        *figures,
        Figure("ctr", "slot:a", TimeWindow(20, 30), 5.0),
        Figure("drift", "all", TimeWindow(20, 30), 1.0),
    )
    assert find(engine, limit=2) == [figures[2], figures[1]]
    assert find(engine, until=20, limit=9) == [figures[1], figures[0]]
    assert {f.segment for f in find(engine, segment=None, limit=9)} == {"all", "slot:a"}


def test_nothing_to_write_is_no_error(engine):
    assert store(engine) == 0


def test_long_segments_fit_and_do_not_meet():
    assert segment_name("slot", "home") == "slot:home"
    long = [segment_name("model", "m" * 500 + end) for end in "ab"]
    assert [len(name) for name in long] == [ID_LENGTH, ID_LENGTH]
    assert long[0] != long[1]
    assert len(segment_name("model", "m" * (ID_LENGTH - len("model:")))) == ID_LENGTH


def test_a_window_does_not_end_before_it_starts():
    with pytest.raises(ValueError, match="before its start"):
        TimeWindow(10, 9)
