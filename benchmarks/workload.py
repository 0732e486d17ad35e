"""Workload: interactions of about 200 bytes, with the skewed user and item distributions of a real shop.

Arrives: a size and a random generator. Leaves: events in time order, as structs and as JSON. Next: `benchmarks.backlog`
produces them, `benchmarks.direct` stores them.

Popularity is a power law of the rank with the exponents 0.7 for users and 0.9 for items. The rank is independent of the
id order. Event ids are random, like a shop's UUIDs, because a store could be fast only for ordered ids.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.events import EventType, Interaction, encode, utc

USER_EXPONENT = 0.7
ITEM_EXPONENT = 0.9
EVENTS_AN_HOUR = 2_300
"""Ten million events span half a year."""

SHARES = {
    EventType.VIEW: 0.60,
    EventType.CLICK: 0.22,
    EventType.CART: 0.09,
    EventType.PURCHASE: 0.08,
    EventType.RATING: 0.01,
}
REQUESTED_SHARE = 0.2
"""Share of events that name the served list they come from."""

BEGIN = 1_735_689_600_000
"""Epoch ms of the first event, 2025-01-01."""

CHUNK = 20_000


@dataclass(frozen=True)
class ShopSize:
    """The number of users and items."""

    users: int = 100_000
    items: int = 10_000


class Workload:
    """Generates the events of a shop in time order. `begin` (epoch ms) is the time of the first event."""

    def __init__(self, rng: np.random.Generator, shop: ShopSize | None = None, *, begin: int = BEGIN) -> None:
        shop = shop or ShopSize()
        self._rng = rng
        self._begin = begin
        self._made = 0
        # Every generator has the same shop. Only the events differ.
        names = np.random.default_rng(0)
        drawn = names.bytes(16 * shop.users).hex()
        self._users = [_uuid(drawn[start : start + 32]) for start in range(0, len(drawn), 32)]
        self._items = [f"sku-{number:07d}" for number in names.permutation(shop.items)]
        self._user_shares = _cumulate(shop.users, USER_EXPONENT)
        self._item_shares = _cumulate(shop.items, ITEM_EXPONENT)

    def events(self, count: int) -> Iterator[Interaction]:
        """Yield the next `count` events."""
        while count > 0:
            size = min(count, CHUNK)
            yield from self._chunk(size)
            count -= size

    def _chunk(self, size: int) -> Iterator[Interaction]:
        rng = self._rng
        users = np.searchsorted(self._user_shares, rng.random(size)).tolist()
        items = np.searchsorted(self._item_shares, rng.random(size)).tolist()
        kinds = list(SHARES)
        types = rng.choice(len(kinds), size, p=list(SHARES.values())).tolist()
        requested = (rng.random(size) < REQUESTED_SHARE).tolist()
        names = rng.bytes(16 * size).hex()
        for index in range(size):
            name = names[32 * index : 32 * index + 32]
            kind = kinds[types[index]]
            bought = kind is EventType.PURCHASE
            yield Interaction(
                event_id=_uuid(name),
                event_type=kind,
                user_id=self._users[users[index]],
                item_id=self._items[items[index]],
                event_time=utc(self._begin + self._made * 3_600_000 // EVENTS_AN_HOUR),
                value=19.9 if bought else 4.0 if kind is EventType.RATING else None,
                quantity=1 if bought else None,
                request_id=f"r-{name[:16]}" if requested[index] else None,
                position=index % 20 if requested[index] else None,
            )
            self._made += 1

    def skip(self, count: int) -> None:
        """Continue as if `count` events were generated already."""
        self._made += count


def span_ms(count: int) -> int:
    """Return the time span of `count` events, in ms."""
    return count * 3_600_000 // EVENTS_AN_HOUR


def mean_bytes(count: int = 1_000) -> float:
    """Return the mean JSON size of an event, in bytes."""
    return sum(len(encode(event)) for event in Workload(np.random.default_rng(1)).events(count)) / count


def _cumulate(size: int, exponent: float) -> NDArray[np.float64]:
    shares = np.arange(1, size + 1, dtype=np.float64) ** -exponent
    cumulated: NDArray[np.float64] = np.cumsum(shares) / shares.sum()
    return cumulated


def _uuid(name: str) -> str:
    return f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}"
