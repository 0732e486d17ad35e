"""The rules of rows: the first one that is broken is the reason."""

from typing import Any

import numpy as np
import pandas as pd

from stream.events import EARLIEST, milliseconds
from stream.sources.formats.columns import LATEST_MS, Block
from stream.sources.rejections import Rejection, Rejections
from stream.sources.rules import base_rules, kept, numbers

GOOD: dict[str, Any] = {
    "event_type": "view",
    "user_id": "u",
    "item_id": "i",
    "event_time": 1.4e12,
    "value": 1.0,
    "quantity": 1.0,
}


def reasons(*changes: dict[str, Any], latest_ms: int = LATEST_MS) -> list[str]:
    """The reason of each row, empty where it is kept; each row is a good one but for its changes."""
    table = pd.DataFrame([{**GOOD, **change} for change in changes])
    block = Block(
        table, np.arange(len(table)), np.arange(10, 10 + len(table)), [str(place) for place in range(len(table))]
    )
    told: list[Rejection] = []
    rejections = Rejections(told.append, None)
    good = kept(table, block, base_rules(table, latest_ms=latest_ms), rejections, path="f", unit="line")
    found = {rejection.place - 10: rejection.reason for rejection in told}
    assert [row for row in range(len(table)) if row not in found] == good.index.tolist()
    assert rejections.counts.total() == len(told)
    return [found.get(row, "") for row in range(len(table))]


def test_each_rule() -> None:
    earliest = milliseconds(EARLIEST)
    assert reasons(
        {},
        {"user_id": ""},
        {"item_id": ""},
        {"user_id": "", "item_id": "", "value": np.nan},
        {"user_id": "x" * 129},
        {"item_id": "a\0b"},
        {"user_id": "a\nb"},
        {"event_time": np.nan},
        {"event_time": earliest - 1.0},
        {"event_time": earliest},
        {"event_type": "stare"},
        {"value": np.nan, "event_type": "rating"},
        {"value": np.inf, "event_type": "rating"},
        {"value": np.nan},
        {"quantity": 0.0},
        {"quantity": np.nan},
    ) == [
        "",
        "no user",
        "no item",
        "no user",
        "id too long",
        "a control character in an id",
        "a control character in an id",
        "no time",
        "no time",
        "",
        "unknown type",
        "rating is no number",
        "rating is no number",
        "",
        "quantity out of bounds",
        "",
    ]


def test_a_time_to_come_is_none_yet() -> None:
    assert reasons({"event_time": 1.4e12 + 1}, {}, latest_ms=int(1.4e12)) == ["a time to come", ""]


def test_numbers() -> None:
    found = numbers(pd.Series(["1.5", " 2 ", "", "x", "inf"], dtype="string"))
    assert found.tolist()[:2] == [1.5, 2.0]
    assert found.isna().tolist() == [False, False, True, True, False]
