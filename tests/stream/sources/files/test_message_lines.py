"""Lines of messages give events; what gives none is told with its line."""

import json
from datetime import UTC, datetime

from stream.events import Interaction
from stream.sources.files.message_lines import messages
from stream.sources.shapes.registry import SHAPES
from stream.sources.shapes.snowplow import TSV_FIELDS

NOW = datetime(2026, 6, 1, tzinfo=UTC)
VIEWED = {
    "type": "track",
    "event": "Product Viewed",
    "userId": "u",
    "messageId": "m",
    "timestamp": "2026-05-01T10:00:00Z",
    "properties": {"product_id": "p"},
}


def test_each_bad_line_is_told_and_the_others_are_read() -> None:
    refused: list[tuple[int, str]] = []
    lines = [
        b"\xef\xbb\xbf" + json.dumps(VIEWED).encode() + b"\r\n",
        b"\n",
        b"{broken\n",
        json.dumps(VIEWED | {"timestamp": None}).encode(),
        b'{"a": 1}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
    ]
    found = list(messages(lines, SHAPES["segment"], now=lambda: NOW, refuse=lambda *told: refused.append(told)))
    assert [event.event_id for event in found if isinstance(event, Interaction)] == ["m"]
    assert [line for line, _ in refused] == [3, 4, 5, 6, 7]
    assert "timestamp" in refused[1][1]
    assert "no message of segment" in refused[2][1]


def test_a_line_of_snowplow_may_be_tab_separated() -> None:
    refused: list[tuple[int, str]] = []
    cells = [""] * TSV_FIELDS
    cells[3], cells[5], cells[6], cells[12] = "2026-05-01 10:00:00", "transaction_item", "e1", "u1"
    cells[67], cells[68], cells[71], cells[72] = "o1", "tea", "2.50", "3"
    lines = ["\t".join(cells).encode() + b"\n", b"a\tb\n"]
    (event,) = messages(lines, SHAPES["snowplow"], now=lambda: NOW, refuse=lambda *told: refused.append(told))
    assert isinstance(event, Interaction)
    assert (event.user_id, event.item_id, event.value, event.quantity, event.order_id) == ("u1", "tea", 2.5, 3, "o1")
    assert [line for line, _ in refused] == [2]
