"""Admission: an event that comes as JSON has the ids that the same cell of a file has, or is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import Interaction, InvalidEvent, decode
from stream.sources.admission import admitted
from stream.sources.files.event_lines import interactions
from stream.sources.ids import NULL_WORDS
from stream.sources.tabular import read

NOW = datetime(2026, 1, 2, tzinfo=UTC)
EVENT = {
    "event_id": "e",
    "event_type": "purchase",
    "user_id": "u",
    "item_id": "i",
    "event_time": "2026-01-01T00:00:00Z",
}
ids = st.one_of(
    st.sampled_from(sorted(NULL_WORDS)).map(str.upper),
    st.builds(
        "{}{}{}".format, st.sampled_from(["", " ", "\t", "\u00a0"]), st.text(max_size=9), st.sampled_from(["", " "])
    ),
    st.integers(-9, 999).map(lambda number: f"{number}.0"),
)


def line(**changed: Any) -> bytes:
    return json.dumps(EVENT | changed).encode()


def by_line(user: str, item: str) -> list[tuple[str, str]]:
    found = interactions([line(user_id=user, item_id=item)], now=lambda: NOW, refuse=lambda number, reason: None)
    return [(event.user_id, event.item_id) for event in found]


@given(user=ids, item=ids)
def test_the_door_of_files_and_the_door_of_json_agree(
    tmp_path_factory: pytest.TempPathFactory, user: str, item: str
) -> None:
    file = tmp_path_factory.mktemp("door") / "f.jsonl"
    file.write_bytes(line(user_id=user, item_id=item))
    table = read(file).interactions
    assert list(zip(table["user_id"], table["item_id"], strict=True)) == by_line(user, item)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"user_id": "null"}, "user_id"),
        ({"user_id": "  "}, "user_id"),
        ({"item_id": "N/A"}, "item_id"),
        ({"item_id": "a\x1bb"}, "item_id"),
        ({"order_id": "a\x00b".replace("\x00", "\x01")}, "order_id"),
    ],
)
def test_a_refusal_names_the_field(changed: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidEvent, match=rf"at `\$\.{field}`"):
        admitted(decode(line(**changed), Interaction, now=NOW))


def test_padding_and_the_point_of_a_whole_number_are_no_part_of_an_id() -> None:
    found = admitted(decode(line(user_id=" 12.0 ", item_id="a b", order_id="null"), Interaction, now=NOW))
    assert (found.user_id, found.item_id, found.order_id) == ("12", "a b", None)
    plain = decode(line(), Interaction, now=NOW)
    assert admitted(plain) is plain
