"""Shops for the drift benchmark: real purchases and a simulated shop as stores, and what is injected into them.

Arrives: the data sets, the simulator. Leaves: SQLite files with events, lists and clicks; changed events of a window.
Next: `benchmarks.drift` looks at them as the monitor does.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, delete, insert

from graphstore.retention import DAY_MS
from graphstore.session import migrate, open_engine, write
from graphstore.tables import EVENT_TYPES, HOUR_MS, attributions, impressions, interactions, items
from monitoring.windows import TimeWindow
from sagestream.simulation.injections import InjectionName, injection_of
from sagestream.simulation.latent_world import LatentSize, LatentWorld
from sagestream.simulation.policies import Popularity
from sagestream.simulation.traffic import Shown, Traffic
from stream.events import CatalogItem, Interaction, milliseconds
from stream.sources.datasets import complete_journey, online_retail
from stream.sources.source import Reading

STEP_MS = 3 * HOUR_MS
LIST_LENGTH = 10
SIZE = LatentSize(shoppers=3000, items=400, days=60, visits_per_day=0.3)
CLICK, PURCHASE = EVENT_TYPES.index("click"), EVENT_TYPES.index("purchase")
DEARER = 1.8


@dataclass(frozen=True)
class Store:
    """A shop's database, and its events: user and item keys, kind, time (epoch ms), value."""

    engine: Engine
    events: pd.DataFrame

    def between(self, window: TimeWindow) -> pd.DataFrame:
        """Return the events of the window."""
        times = self.events["event_time"]
        return self.events[(times >= window.start) & (times < window.end)]


def retail(parquet: Path, directory: Path) -> Store:
    """Store the purchases of Online Retail II."""
    table = online_retail.open_files([parquet]).read(Reading())
    return stored(directory / "retail.db", table.interactions, table.items)


def journey(directory: Path, *, shoppers: int | None = None) -> Store:
    """Store the purchases of 84.51 Complete Journey."""
    table = complete_journey.read(users=shoppers)
    return stored(directory / "journey.db", table.interactions, table.items)


def stored(path: Path, frame: pd.DataFrame, catalogue: list[CatalogItem]) -> Store:
    """Store purchases. The frame has user_id, item_id, event_type, event_time, value."""
    url = f"sqlite:///{path.resolve()}"
    migrate(url)
    frame = frame[frame["event_type"].astype(str) == "purchase"]
    categories = {item.item_id: item.categories for item in catalogue}
    item_codes, item_ids = pd.factorize(frame["item_id"])
    events = pd.DataFrame(
        {
            "user_key": pd.factorize(frame["user_id"])[0] + 1,
            "item_key": item_codes + 1,
            "event_type": PURCHASE,
            "event_time": frame["event_time"].to_numpy(np.int64),
            "value": frame["value"].to_numpy(np.float64),
        }
    )
    engine = open_engine(url)
    with write(engine) as connection:
        put_items(connection, [(key + 1, str(name), categories.get(name, [])) for key, name in enumerate(item_ids)])
        put_events(connection, events, "e")
    return Store(engine, events)


def put_items(connection: Connection, rows: list[tuple[int, str, Any]]) -> None:
    """Insert (key, id, categories)."""
    found = [{"item_key": key, "item_id": name, "categories": json.dumps(list(c))} for key, name, c in rows]
    connection.execute(insert(items), found)


def put_events(connection: Connection, events: pd.DataFrame, prefix: str) -> None:
    """Insert events; their ids begin with the prefix."""
    rows: list[dict[str, Any]] = [
        {**row, "event_id": f"{prefix}{number}", "ingest_time": row["event_time"]}
        for number, row in enumerate(events.replace({np.nan: None}).to_dict("records"))
    ]
    for first in range(0, len(rows), 50_000):
        connection.execute(insert(interactions), rows[first : first + 50_000])


Change = Callable[[Store, pd.DataFrame, np.random.Generator], pd.DataFrame]
"""Returns the events of a window as they would be after a change of the shop."""


def reversed_popularity(store: Store, now: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    """The most popular item is now the least popular one, and so on."""
    counts = store.events["item_key"].value_counts()
    turned = dict(zip(counts.index, counts.index[::-1], strict=True))
    prices = store.events.groupby("item_key")["value"].median()
    keys = now["item_key"].map(turned)
    return now.assign(item_key=keys, value=keys.map(prices).to_numpy())


def new_catalogue(store: Store, now: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Half of the items are replaced by new ones."""
    last = int(store.events["item_key"].max())
    replaced = rng.random(last + 1) < 0.5
    keys = now["item_key"].to_numpy()
    return now.assign(item_key=np.where(replaced[keys], keys + last, keys))


def price_shock(store: Store, now: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Half of the items are dearer by 80 %."""
    dearer = rng.random(int(store.events["item_key"].max()) + 1) < 0.5
    return now.assign(value=now["value"] * np.where(dearer[now["item_key"].to_numpy()], DEARER, 1.0))


def vanished_clicks(_store: Store, now: pd.DataFrame, _rng: np.random.Generator) -> pd.DataFrame:
    """No click is recorded any more."""
    return now[now["event_type"] != CLICK]


class Undone(Exception):
    """Ends a transaction whose changes must not stay."""


@contextmanager
def changed(store: Store, window: TimeWindow, change: Change, seed: int) -> Iterator[Connection]:
    """A connection that sees the window after the change; the database stays as it was."""
    with suppress(Undone), write(store.engine) as connection:
        after = change(store, store.between(window), np.random.default_rng(seed))
        times = interactions.c.event_time
        connection.execute(delete(interactions).where(times >= window.start, times < window.end))
        new = sorted(set(after["item_key"]) - set(store.events["item_key"]))
        if new:
            put_items(connection, [(key, f"new{key}", ["new"]) for key in new])
        if change is vanished_clicks:
            connection.execute(delete(attributions).where(attributions.c.event_time >= window.start))
        put_events(connection, after, "changed")
        yield connection
        raise Undone


def simulated(directory: Path, name: InjectionName | None, *, day: int, days: int, seed: int = 0) -> Store:
    """Store `days` days of a simulated shop whose lists show what is popular. The injection happens on `day`."""
    injection = injection_of(name, day) if name else None
    world = LatentWorld(SIZE, seed=seed, injection=injection)
    url = f"sqlite:///{directory.resolve()}/{name or 'quiet'}.db"
    migrate(url)
    engine = open_engine(url)
    past = list(world.past())
    world = LatentWorld(SIZE, seed=seed, injection=injection)
    traffic = Traffic(world, seed, injection=injection)
    traffic.remember(past)
    catalogue = {entry.item_id: entry.categories for entry in world.advance(world.opening)}
    policy = Popularity(world, past)
    events: list[Interaction] = []
    lists: list[dict[str, Any]] = []
    for begin in range(world.opening, world.opening + days * DAY_MS, STEP_MS):
        catalogue |= {entry.item_id: entry.categories for entry in world.advance(begin)}
        fresh: list[Interaction] = []
        for visit in world.visits(begin, begin + STEP_MS):
            request_id = f"r{visit.number}"
            shown = Shown(policy.show(visit, traffic.owned(visit), k=LIST_LENGTH).rows, request_id)
            fresh += traffic.shop(visit, shown)[0]
            lists += [_impression(world, visit.shopper, visit.time, request_id, *one) for one in enumerate(shown.rows)]
        policy.learn(fresh, [], now=begin + STEP_MS)
        events += fresh
    keys = {name: key + 1 for key, name in enumerate(world.item_ids)}
    users = {name: key + 1 for key, name in enumerate(world.user_ids)}
    frame = pd.DataFrame(
        {
            "user_key": [users[event.user_id] for event in events],
            "item_key": [keys[event.item_id] for event in events],
            "event_type": [EVENT_TYPES.index(event.event_type) for event in events],
            "event_time": [milliseconds(event.event_time) for event in events],
            "value": [event.value for event in events],
        }
    ).astype({"value": float})
    with write(engine) as connection:
        put_items(connection, [(key, name, catalogue.get(name, [])) for name, key in keys.items()])
        put_events(connection, frame, "e")
        connection.execute(insert(impressions), lists)
        connection.execute(insert(attributions), [_credit(event) for event in events if event.request_id])
    return Store(engine, frame)


def _impression(
    world: LatentWorld, shopper: int, time: int, request_id: str, position: int, row: int
) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "position": position,
        "user_id": world.user_ids[shopper],
        "item_id": world.item_ids[row],
        "slot": "home",
        "event_time": time,
        "model_version": "m1",
        "variant": "a",
        "score": 1.0 - position / LIST_LENGTH,
        "propensity": 1.0,
        "source": "model",
    }


def _credit(event: Interaction) -> dict[str, Any]:
    time = milliseconds(event.event_time)
    return {
        "event_id": f"a-{event.event_id}",
        "request_id": event.request_id,
        "position": event.position,
        "event_type": EVENT_TYPES.index(event.event_type),
        "event_time": time,
        "list_time": time,
        "matched_by": "request",
    }
