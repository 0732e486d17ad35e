"""Logs: reads the shown lists of slots that explored, with their propensities and rewards.

Arrives: `impressions`, `seen_items`, `attributions`, `experiments`. Leaves: `ShownList` values.
Next: `monitoring.ope.target`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from graphstore.tables import EVENT_TYPES, attributions, experiments, impressions, seen_items
from monitoring.crediting import BY_REQUEST
from monitoring.ope.estimators import NoSupport
from monitoring.shown import CLICK_TYPES
from serving.routing import Arm

Reward = Literal["click", "purchase"]
REWARD_TYPES: dict[Reward, tuple[int, ...]] = {"click": CLICK_TYPES, "purchase": (EVENT_TYPES.index("purchase"),)}
"""The event types that make the reward of a shown item 1. A click is what `monitoring.counts` counts as one."""

MOST_LISTS = 20_000
"""The newest lists that are read. It bounds the time: a model ranks each shopper again as of the time of the list."""


class ShownItem(NamedTuple):
    """An item at its position. `reward` is 1 if the shopper did what counts, otherwise 0."""

    item_id: str
    propensity: float
    source: str
    reward: float


@dataclass(frozen=True)
class ShownList:
    """The first positions of a shown list. `event_time` is epoch ms."""

    user_id: str
    variant: str
    model_version: str
    event_time: int
    items: list[ShownItem]


@dataclass(frozen=True)
class Selection:
    """Which lists count: start <= time < end (epoch ms), and the first `positions` of each."""

    start: int
    end: int
    positions: int
    slot: str | None = None
    variant: str | None = None
    reward: Reward = "click"

    def where(self) -> ColumnElement[bool]:
        """Return the condition on `impressions`. Lists that were merely fetched, and those of robots, do not count."""
        chosen = [impressions.c.event_time >= self.start, impressions.c.event_time < self.end]
        chosen += [_shown(), ~impressions.c.robot]
        if self.slot is not None:
            chosen.append(impressions.c.slot == self.slot)
        if self.variant is not None:
            chosen.append(impressions.c.variant == self.variant)
        return and_(*chosen, impressions.c.position < self.positions)


def _shown() -> ColumnElement[bool]:
    """Return whether a list was shown: its reader vouched for it, a page has seen it, or an event has named it."""
    seen = select(seen_items.c.request_id).where(seen_items.c.request_id == impressions.c.request_id)
    named = select(attributions.c.request_id).where(
        attributions.c.request_id == impressions.c.request_id,
        attributions.c.matched_by == BY_REQUEST,
        attributions.c.event_type.in_(CLICK_TYPES),
    )
    return or_(impressions.c.confirmed, seen.exists(), named.exists())


def shown_lists(connection: Connection, selection: Selection) -> list[ShownList]:
    """Return the newest `MOST_LISTS` lists of variants that explored, oldest first. Raises `NoSupport` without any.

    A variant explored if any item was shown with a propensity below 1. All its lists count: a choice of lists by their
    propensities would be a choice by what was drawn.
    """
    explored = connection.scalars(
        select(impressions.c.variant)
        .where(selection.where())
        .group_by(impressions.c.variant)
        .having(func.min(impressions.c.propensity) < 1.0)
    ).all()
    if not explored:
        raise NoSupport(
            "no list in this time explored, every propensity is 1: nobody saw what another setting would show. "
            "`sagestream experiments start` with a temperature or a share of new items makes such lists"
        )
    where = and_(selection.where(), impressions.c.variant.in_(explored))
    newest = (
        select(impressions.c.request_id)
        .where(where, impressions.c.position == 0)
        .order_by(impressions.c.event_time.desc(), impressions.c.request_id)
        .limit(MOST_LISTS)
    )
    rewarded = (
        select(attributions.c.event_id)
        .where(
            attributions.c.request_id == impressions.c.request_id,
            attributions.c.position == impressions.c.position,
            attributions.c.event_type.in_(REWARD_TYPES[selection.reward]),
        )
        .exists()
    )
    rows = connection.execute(
        select(impressions, rewarded.label("rewarded"))
        .where(where, impressions.c.request_id.in_(newest))
        .order_by(impressions.c.event_time, impressions.c.request_id, impressions.c.position)
    )
    lists = []
    for _, group in groupby(rows, key=lambda row: row.request_id):
        items = list(group)
        shown = [ShownItem(row.item_id, row.propensity, row.source, float(row.rewarded)) for row in items]
        first = items[0]
        lists.append(ShownList(first.user_id, first.variant, first.model_version, first.event_time, shown))
    return lists


def shares_of_new_items(connection: Connection, variants: Sequence[str]) -> dict[str, float]:
    """Return the share of new items that each variant `EXPERIMENT/ARM` had. Variants of no experiment are left out."""
    shares = {}
    rows = connection.execute(select(experiments.c.name, experiments.c.arms))
    for name, arms in rows:
        for arm in msgspec.json.decode(arms, type=list[Arm]):
            shares[f"{name}/{arm.name}"] = arm.exploration.new_items
    return {variant: share for variant, share in shares.items() if variant in set(variants)}
