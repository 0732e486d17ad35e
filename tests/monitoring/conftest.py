"""A toy shop whose rates and drift are known, written through the same ingest as everything else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, select

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, attributions
from graphstore.upserts import ImpressionRow, insert_impressions, upsert_items
from monitoring.attribution import attribute

NOON = 1_700_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Shop:
    """Serves lists and takes what shoppers do. Times are epoch ms."""

    now = NOON

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._events = 0

    def serve(
        self,
        request_id: str,
        items: Sequence[str],
        *,
        time: int = NOON,
        model: str = "m1",
        slot: str = "home",
        variant: str = "a",
        user: str = "u1",
    ) -> None:
        """Show a list; positions count from 0."""
        rows = [
            ImpressionRow(request_id, position, user, item, slot, time, model, variant, 1.0, 1.0, "model")
            for position, item in enumerate(items)
        ]
        with write(self.engine) as connection:
            insert_impressions(connection, rows)

    def fetch(self, request_id: str, items: Sequence[str], *, time: int = NOON) -> None:
        """Give u1 a list without a word that it was shown."""
        rows = [
            ImpressionRow(request_id, position, "u1", item, "home", time, "m1", "a", 1.0, 1.0, "model", confirmed=False)
            for position, item in enumerate(items)
        ]
        with write(self.engine) as connection:
            insert_impressions(connection, rows)

    def act(
        self,
        kind: str,
        item: str,
        request_id: str | None = None,
        *,
        time: int = NOON,
        arrives: int | None = None,
        position: int | None = None,
        user: str = "u1",
        **more: Any,
    ) -> str:
        """A shopper does something; the event's id. `more` is a value, a quantity, an order_id, a currency."""
        self._events += 1
        event_id = f"e{self._events}"
        row = InteractionRow(
            event_id, EVENT_TYPES.index(kind), user, item, time, request_id=request_id, position=position, **more
        )
        with write(self.engine) as connection:
            ingest_interactions(connection, [row], now=time if arrives is None else arrives)
        return event_id

    def attribute(self) -> int:
        """Attribute everything; the number of changed rows."""
        return attribute(self.engine).changed

    def places(self) -> dict[str, tuple[str, int]]:
        """(request_id, position) by event_id, of everything attributed."""
        with read(self.engine) as connection:
            rows = connection.execute(select(attributions))
            return {row.event_id: (row.request_id, row.position) for row in rows}

    def click_through(self, lists: int, clicked: int, *, time: int, model: str = "m1") -> None:
        """Serve `lists` lists of one item at `time`, each to its own shopper; the first `clicked` are clicked."""
        ids = [f"{model}-{time}-{number}" for number in range(lists)]
        with write(self.engine) as connection:
            insert_impressions(
                connection,
                [ImpressionRow(i, 0, f"u-{i}", "apple", "home", time, model, "a", 1.0, 1.0, "model") for i in ids],
            )
            click = EVENT_TYPES.index("click")
            rows = [InteractionRow(f"c-{i}", click, f"u-{i}", "apple", time, request_id=i) for i in ids[:clicked]]
            ingest_interactions(connection, rows, now=time)
        self.attribute()

    def trade(self, start: int, end: int, events: int, *, seed: int, shifted: bool = False) -> None:
        """Events spread over start <= t < end, one a shopper.

        As usual: 8 views in 10, cheap items of 40, all day. Shifted: 2 views in 10, dear items of 10 others, by night.
        """
        rng = np.random.default_rng(seed)
        times = start + np.sort(rng.integers(0, end - start, events))
        if shifted:
            times = times // DAY_MS * DAY_MS + rng.integers(0, 4 * HOUR_MS, events)
            times = np.clip(times, start, end - 1)
        numbers = rng.integers(100, 110, events) if shifted else np.minimum(rng.geometric(0.1, events), 40)
        views = rng.random(events) < (0.2 if shifted else 0.8)
        catalogue = [
            ItemRow(f"i{n}", "", ["dear" if n >= 100 else f"shelf {n % 4}"], "", float(n), True, 1)
            for n in sorted(set(numbers.tolist()))
        ]
        rows = [
            InteractionRow(f"t{seed}-{k}", 0 if views[k] else 3, f"s{seed}-{k}", f"i{numbers[k]}", int(times[k]))
            for k in range(events)
        ]
        with write(self.engine) as connection:
            upsert_items(connection, catalogue)
            ingest_interactions(connection, rows, now=end)


@pytest.fixture
def shop(engine: Engine) -> Shop:
    return Shop(engine)


@pytest.fixture
def sqlite_shop(sqlite_engine: Engine) -> Shop:
    return Shop(sqlite_engine)
