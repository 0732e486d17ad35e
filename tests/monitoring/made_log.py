"""A made log of a shop in which everything is known: what is looked at, what is liked, who is a robot, what is paid.

Shoppers look at an item with a probability that depends on its position alone, and like it with one that depends on the
item alone. They click what they look at and like. Chance orders some of the lists.
"""

from dataclasses import dataclass, field

import numpy as np

from graphstore.ingest import InteractionRow
from graphstore.item_fields import ItemRow
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = 1_700_000_000_000 // DAY_MS * DAY_MS
ITEMS, LENGTH = 40, 8
EXAMINATION = 1 / np.sqrt(1 + np.arange(LENGTH))
BUYS = 0.3
"""The share of clicks that become purchases."""
CARTS = 0.5
"""The share of clicks that become carts."""


@dataclass
class MadeLog:
    """The rows, and what they should give."""

    impressions: list[ImpressionRow] = field(default_factory=list)
    events: list[InteractionRow] = field(default_factory=list)
    lists: int = 0
    clicks: int = 0
    carts: int = 0
    purchases: int = 0
    revenue: float = 0.0
    liked: float = 0.0
    """Σ examination · attraction of what was shown."""
    looked: float = 0.0
    """Σ examination of what was shown."""
    viewers: set[str] = field(default_factory=set)


def attraction() -> np.ndarray:
    """How much each item [ITEMS] is liked by who looks at it."""
    return np.linspace(0.05, 0.4, ITEMS)


def catalogue() -> list[ItemRow]:
    return [ItemRow(f"i{n}", "", [f"shelf {n % 4}"], "", 10.0 + n, True, 1) for n in range(ITEMS)]


def make_log(seed: int, *, lists: int, days: int = 2, explored: bool = False) -> MadeLog:
    """Lists of `LENGTH` items for people who come back, with clicks, carts and purchases."""
    rng, like, log = np.random.default_rng(seed), attraction(), MadeLog()
    for number in range(lists):
        user = f"u{rng.geometric(0.01)}"
        time = START + int(rng.integers(0, days * DAY_MS - HOUR_MS))
        # Better items come first, as a model would have it; chance orders the explored lists.
        noise = rng.random(ITEMS) if explored else like + rng.normal(0, 0.1, ITEMS)
        items = np.argsort(-noise)[:LENGTH]
        request_id = f"r{seed}-{number:06d}"
        log.lists += 1
        log.viewers.add(user)
        for position, item in enumerate(items.tolist()):
            propensity = 1 / (ITEMS - position) if explored else 1.0
            slot = ("home", "product")[number % 2]
            log.impressions.append(
                ImpressionRow(
                    request_id, position, user, f"i{item}", slot, time, "m1", "champion", 1.0, propensity, "own"
                )
            )
            log.looked += EXAMINATION[position]
            log.liked += EXAMINATION[position] * like[item]
            if rng.random() < EXAMINATION[position] * like[item]:
                _clicked(log, rng, request_id, user, item, position, time)
    return log


def _clicked(
    log: MadeLog, rng: np.random.Generator, request_id: str, user: str, item: int, position: int, time: int
) -> None:
    buys, carts = rng.random() < BUYS, rng.random() < CARTS
    kinds = ["click", *["cart"] * carts, *["purchase"] * buys]
    price, quantity = 10.0 + item, int(rng.integers(1, 4))
    for step, kind in enumerate(kinds):
        bought = {"value": price, "quantity": quantity, "order_id": f"o-{request_id}", "currency": "EUR"}
        log.events.append(
            InteractionRow(
                f"e-{request_id}-{position}-{kind}",
                EVENT_TYPES.index(kind),
                user,
                f"i{item}",
                time + 1000 * (step + 1),
                request_id=request_id,
                position=position,
                **(bought if kind == "purchase" else {}),
            )
        )
    log.clicks += 1
    log.carts += carts
    log.purchases += buys
    log.revenue += price * quantity if buys else 0.0
