"""Orders: lines get the head of their order, in bounded memory."""

import numpy as np
import pandas as pd
import pytest

from stream.sources import orders
from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import Block
from stream.sources.orders import Head, Orders, unknown_orders


def test_lines_get_the_head_of_their_order() -> None:
    known = Orders()
    known.add([("1", Head("old", 1.0)), ("1", Head("u", 2.0, "canceled"))])
    lines = Block(pd.DataFrame({"order": ["1", "2", "1"]}), np.arange(3), np.arange(3))
    table = known.joined(lines, "order").table
    assert table["user"].tolist() == ["u", "", "u"]
    assert table["status"].tolist() == ["canceled", "", "canceled"]
    assert table["time"].fillna(-1).tolist() == [2.0, -1, 2.0]
    (mask,) = unknown_orders(table).values()
    assert mask.tolist() == [False, True, False]


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "MAX_ORDERS", 1)
    with pytest.raises(UnreadableFile, match="more than 1 orders"):
        Orders().add([("1", Head("u", 1.0)), ("2", Head("u", 1.0))])
