"""Values of messages are read by the same rules as cells of files."""

from datetime import UTC, datetime
from typing import Any

import pytest

from stream.sources.shapes.fields import MAX_LINES, NotAnEvent, amount, event_id, identifier, lines, moment, pieces

DAY = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        *(1777593600, 1777593600000, 1777593600000000, "1777593600", "1777593600000"),
        *("2026-05-01", "2026-05-01T00:00:00Z", "2026-05-01T02:00:00+02:00", "20260501", "20260501000000"),
        *("2026-05-01 00:00:00 UTC", "Fri, 01 May 2026 00:00:00 GMT"),
    ],
)
def test_a_time_is_read_in_every_form(written: Any) -> None:
    assert moment(written) == DAY


@pytest.mark.parametrize("written", [None, "", True, "yesterday", "2026-13-01", -5, float("nan"), [1]])
def test_what_is_no_time_gives_none(written: Any) -> None:
    assert moment(written) is None


@pytest.mark.parametrize("word", ["null", "undefined", "NaN", "", True, None, [], {}])
def test_a_word_for_no_value_is_no_id_and_the_next_path_counts(word: Any) -> None:
    assert identifier({"a": word, "b": 7}, "a", "b") == "7"


def test_a_whole_number_with_a_point_is_the_number() -> None:
    assert identifier({"a": 123.0}, "a") == "123"


def test_amounts_and_pieces() -> None:
    message = {"price": "1.234,50 €", "odd": "2 pcs", "half": 0.5, "comma": "0,45", "three": "3", "nothing": 0}
    assert (amount(message, "price"), amount(message, "odd"), amount(message, "none")) == (1234.5, None, None)
    assert [pieces(message, name) for name in ("half", "comma", "three", "nothing", "odd")] == [
        0.5,
        0.45,
        3,
        None,
        None,
    ]


def test_a_list_has_a_bound() -> None:
    with pytest.raises(NotAnEvent, match=f"over {MAX_LINES}"):
        lines({"items": [{}] * (MAX_LINES + 1)}, "items")


def test_an_id_of_a_message_depends_on_all_of_it_and_not_on_the_order_of_its_names() -> None:
    assert event_id(None, of={"a": 1, "b": 2}) == event_id(None, of={"b": 2, "a": 1}) != event_id(None, of={"a": 1})
    assert len(event_id("x" * 300, "1", of={})) == 32
