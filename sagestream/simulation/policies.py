"""Policies: who decides what a shopper is shown, and when something new is learned.

Arrives: visits, and the events that they left. Leaves: lists. Next: `sagestream.simulation.run` lets each policy keep a
shop of its own in the same world.

`frozen`, `nightly` and `loop` are the real shop. Near-line refreshes the lists of all three after each event, so they
differ only in their models. `popularity` and `oracle` need no shop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np

from graphstore.arrays import BoolArray
from graphstore.errors import UserError
from graphstore.retention import DAY_MS
from sagestream.simulation.shop import Shop
from sagestream.simulation.traffic import Shown
from sagestream.simulation.world import Visit, World
from stream.events import CatalogItem, Interaction, milliseconds

PolicyName = Literal["frozen", "nightly", "loop", "popularity", "oracle"]

POLICIES: tuple[PolicyName, ...] = get_args(PolicyName)

IN_WORDS: dict[PolicyName, str] = {
    "frozen": "the first model, never trained again; lists still follow each event",
    "nightly": "a model trained from scratch each night on all events, always promoted",
    "loop": "Sagestream: it trains when it is due, and the gate decides",
    "popularity": "the most popular items of the last days for everybody",
    "oracle": "knows what each shopper likes, but not what the visit is for: nobody can do better",
}
"""Each policy in words for people."""

POPULARITY_HALF_LIFE_DAYS = 3.0


class UnknownPolicy(UserError):
    """No policy has this name."""


def policy_name(name: str) -> PolicyName:
    """Return the name, if there is such a policy. Raises `UnknownPolicy`."""
    for known in POLICIES:
        if known == name:
            return known
    raise UnknownPolicy(f"no policy {name}: there are {', '.join(POLICIES)}")


@dataclass(frozen=True)
class Trained:
    """A finished training run. `time` is epoch ms."""

    time: int
    kind: str
    verdict: str
    model_version: str


class Policy(Protocol):
    """Shows lists and learns."""

    def show(self, visit: Visit, owned: BoolArray, *, k: int) -> Shown:
        """Return the list for a visit; `owned` [num_items] is what the visitor has bought."""
        ...

    def learn(self, events: Sequence[Interaction], catalogue: Sequence[CatalogItem], *, now: int) -> None:
        """Take in what happened before `now` (epoch ms)."""
        ...

    def train(self, *, now: int) -> Trained | None:
        """Train if it is time for it; return the finished run."""
        ...


class ShopPolicy:
    """A policy with a real shop that has a champion. `name` decides when it trains."""

    def __init__(self, name: Literal["frozen", "nightly", "loop"], shop: Shop, world: World, *, now: int) -> None:
        self._name, self._shop, self._world = name, shop, world
        self._rows = {item_id: row for row, item_id in enumerate(world.item_ids)}
        self._next_night = now // DAY_MS * DAY_MS + DAY_MS
        shop.publish(now=now)

    def show(self, visit: Visit, owned: BoolArray, *, k: int) -> Shown:
        """Ask the shop for its list."""
        user, request_id = self._world.user_ids[visit.shopper], f"r{visit.number}"
        served = self._shop.serve(user, k=k, request_id=request_id, now=visit.time)
        return Shown(np.array([self._rows[item.item_id] for item in served.items], dtype=np.int64), request_id)

    def learn(self, events: Sequence[Interaction], catalogue: Sequence[CatalogItem], *, now: int) -> None:
        """Store all, refresh the lists, and measure the clicks."""
        self._shop.store(events, catalogue, now=now)
        if events:
            self._shop.measure(now=now)

    def train(self, *, now: int) -> Trained | None:
        """Train, and publish what was promoted."""
        done = None
        if self._name == "loop":
            done = self._shop.train_if_due(now=now)
        elif self._name == "nightly" and now >= self._next_night:
            self._next_night += DAY_MS
            done = self._shop.train_from_scratch(now=now)
        if done is None:
            return None
        self._shop.publish(now=now)
        return Trained(now, done.kind, done.verdict, done.model_version)


class Popularity:
    """Shows everybody the items with the most events lately, each event counting half after three days."""

    def __init__(self, world: World, past: Sequence[Interaction]) -> None:
        self._world = world
        self._rows = {item_id: row for row, item_id in enumerate(world.item_ids)}
        self._counts = np.zeros(len(world.item_ids))
        self._time = world.opening
        self._count(past)

    def show(self, visit: Visit, owned: BoolArray, *, k: int) -> Shown:
        """Return the most popular items that can be bought."""
        return Shown(best(self._counts, self._world.available(), k))

    def learn(self, events: Sequence[Interaction], catalogue: Sequence[CatalogItem], *, now: int) -> None:
        """Count the events."""
        self._counts *= 2.0 ** (-(now - self._time) / DAY_MS / POPULARITY_HALF_LIFE_DAYS)
        self._time = now
        self._count(events)

    def _count(self, events: Sequence[Interaction]) -> None:
        for event in events:
            age_days = (self._time - milliseconds(event.event_time)) / DAY_MS
            self._counts[self._rows[event.item_id]] += 2.0 ** (-age_days / POPULARITY_HALF_LIFE_DAYS)

    def train(self, *, now: int) -> Trained | None:
        """Nothing is trained."""
        return None


class Oracle:
    """Asks the world itself, and so bounds what any policy can reach without knowing what a visit is for."""

    def __init__(self, world: World) -> None:
        self._world = world

    def show(self, visit: Visit, owned: BoolArray, *, k: int) -> Shown:
        """Return the items with the highest expected probability of a click."""
        return Shown(best(self._world.expected_appeal(visit, owned), self._world.available(), k))

    def learn(self, events: Sequence[Interaction], catalogue: Sequence[CatalogItem], *, now: int) -> None:
        """It knows all already."""

    def train(self, *, now: int) -> Trained | None:
        """Nothing is trained."""
        return None


def best(scores: np.ndarray, available: BoolArray, k: int) -> np.ndarray:
    """Return the rows of the k largest scores among the available items, best first. Ties keep the order of rows."""
    order = np.argsort(-np.where(available, scores, -np.inf), kind="stable")[:k]
    return order[available[order]]
