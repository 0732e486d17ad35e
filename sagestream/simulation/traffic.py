"""Traffic: what shoppers do with the lists that they are shown, and what the shop records of it.

Arrives: visits of a `World`, and the list of each visit. Leaves: interactions for the shop's ingest, and the true
counts of clicks and revenue. Next: `sagestream.simulation.run` adds the counts, a policy stores the interactions.

A shopper clicks an item under two conditions: the item was seen (`attention`), and it appeals (`World`). Besides, a
shopper finds items without any list. All chance of a visit comes from the number of the visit, and the chance of a
click from the visit and the item. So two policies that show the same list get the same clicks, and differences between
policies are not differences of luck.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphstore.arrays import BoolArray, IntArray
from sagestream.simulation.attention import Attention
from sagestream.simulation.injections import Injection
from sagestream.simulation.world import Visit, World
from stream.events import EventType, Interaction, utc

RECORDED_IN_AN_OUTAGE = 0.1
BOTS = 20
BOT_TARGETS = 5


@dataclass(frozen=True)
class Shown:
    """A list that a visit was shown: item rows of the world, best first. `request_id` is None if no shop served it."""

    rows: IntArray
    request_id: str | None = None


@dataclass
class Counts:
    """The truth about a span of time, bots left out."""

    visits: int = 0
    shown: int = 0
    """Items at positions of lists."""
    clicks: int = 0
    expected_clicks: float = 0.0
    """The sum of the probabilities of the clicks: the same without luck."""
    purchases: int = 0
    revenue: float = 0.0
    """Of all purchases, from lists and without."""
    list_revenue: float = 0.0

    def add(self, other: "Counts") -> None:
        """Add the counts of another span."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class Traffic:
    """The shoppers of one simulated shop. It remembers what each one has bought."""

    world: World
    seed: int
    attention: Attention = field(default_factory=Attention)
    injection: Injection | None = None

    def __post_init__(self) -> None:
        self._owned: BoolArray = np.zeros((len(self.world.user_ids), len(self.world.item_ids)), dtype=np.bool_)

    def remember(self, past: Iterable[Interaction]) -> None:
        """Take over what shoppers bought before."""
        user_rows = {name: row for row, name in enumerate(self.world.user_ids)}
        item_rows = {name: row for row, name in enumerate(self.world.item_ids)}
        for event in past:
            if event.event_type is EventType.PURCHASE:
                self._owned[user_rows[event.user_id], item_rows[event.item_id]] = True

    def owned(self, visit: Visit) -> BoolArray:
        """Return which items [num_items] the visitor has bought."""
        owned: BoolArray = self._owned[visit.shopper]
        return owned

    def shop(self, visit: Visit, shown: Shown) -> tuple[list[Interaction], Counts]:
        """Let one shopper look at a list and search; return what the shop records, and the truth."""
        rng = np.random.default_rng([self.seed, 4, visit.number])
        owned, world = self._owned[visit.shopper], self.world
        appeal, conversion = world.appeal(visit, owned), world.conversion(visit)
        seen = self.attention.seen(len(shown.rows), rng.random())
        # One chance for each item of the shop, so that its chance does not depend on its position.
        clicking, buying = rng.random(len(appeal)), rng.random(len(appeal))
        clicked = [int(row) for row in shown.rows[:seen] if clicking[row] < appeal[row]]
        bought = [row for row in clicked if buying[row] < conversion[row]]
        found = [row for row in world.organic(visit, owned, bought, rng) if row not in clicked]
        found_bought = [row for row in found if buying[row] < conversion[row]]
        prices = world.prices()
        counts = Counts(
            visits=1,
            shown=len(shown.rows),
            clicks=len(clicked),
            expected_clicks=float((self.attention.curve(len(shown.rows)) * appeal[shown.rows]).sum()),
            purchases=len(bought) + len(found_bought),
            revenue=float(prices[[*bought, *found_bought]].sum()),
            list_revenue=float(prices[bought].sum()),
        )
        position = {int(row): place for place, row in enumerate(shown.rows)}
        acts: list[tuple[int, EventType, int | None]] = [(row, EventType.CLICK, position[row]) for row in clicked]
        acts += [(row, EventType.PURCHASE, position[row]) for row in bought]
        acts += [(row, EventType.VIEW, None) for row in found]
        acts += [(row, EventType.PURCHASE, None) for row in found_bought]
        events = [
            Interaction(
                event_id=f"v{visit.number}-{number}",
                event_type=kind,
                user_id=world.user_ids[visit.shopper],
                item_id=world.item_ids[row],
                event_time=utc(visit.time + number),
                value=round(float(prices[row]), 2) if kind is EventType.PURCHASE else None,
                request_id=shown.request_id if place is not None else None,
                position=place if shown.request_id is not None else None,
            )
            for number, (row, kind, place) in enumerate(acts)
        ]
        owned[[*bought, *found_bought]] = True
        return [event for event in events if self._is_recorded(visit.time, rng)], counts

    def _is_recorded(self, time: int, rng: np.random.Generator) -> bool:
        if not self._injected("tracking_outage", time):
            return True
        return bool(rng.random() < RECORDED_IN_AN_OUTAGE)

    def _injected(self, name: str, time: int) -> bool:
        injection = self.injection
        return injection is not None and injection.name == name and injection.active(time, self.world.opening)

    def bots(self, start: int, end: int, like: Sequence[Interaction]) -> Iterator[Interaction]:
        """Yield the bots' clicks of start <= time < end (epoch ms): as many as events in `like`, on a few items."""
        if not self._injected("bots", start) or not like:
            return
        rng = np.random.default_rng([self.seed, 5, start // 1000])
        # The targets stay the same: the first chance depends on the seed alone.
        there = np.flatnonzero(self.world.available())
        targets = np.random.default_rng([self.seed, 6]).choice(there, BOT_TARGETS, replace=False)
        for number, time in enumerate(np.sort(rng.integers(start, end, len(like))).tolist()):
            yield Interaction(
                event_id=f"b{start}-{number}",
                event_type=EventType.CLICK,
                user_id=f"bot{rng.integers(BOTS)}",
                item_id=self.world.item_ids[int(rng.choice(targets))],
                event_time=utc(time),
            )
