"""Target: what another model or setting would have shown instead of each logged list, with its probabilities.

Arrives: shown lists, a model, the settings of exploration. Leaves: `Lists`. Next: `monitoring.ope.estimators`.

The other policy is: the model ranks the shopper's history as it was just before the list was shown, and the slot draws
from this list with the other settings. The probability of the shown item under this policy is exact, position by
position. It does not matter how the logged list came about: its own probability is in the log.

The pool of new items of that time is not kept. But each new item has the same probability, so the ratio of the two
probabilities of a shown new item is the ratio of the two shares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphstore.arrays import Float32Array, Float64Array, IntArray
from graphstore.errors import UserError
from graphstore.queries import HistoryRow
from graphstore.redis.item_store import NEWEST_ITEMS
from monitoring.ope.estimators import Lists
from monitoring.ope.logs import ShownList
from monitoring.ope.rewards import FOLDS, RewardModel, folds_of
from serving.exploration import NEW, probabilities
from serving.routing import Exploration
from training.data.event_log import AsOf, Histories

BLOCK_LISTS = 256


class UnknownShare(UserError):
    """New items were shown, and it is not known with which share."""


class Ranks(Protocol):
    """The part of `training.models.recommender.Recommender` that ranks past moments."""

    item_ids: list[str]

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> Histories: ...

    def recommend(self, histories: Histories, *, as_of: AsOf, k: int) -> tuple[IntArray, Float32Array]: ...


class Shoppers(Protocol):
    """The source of histories. `serving.source.ShopSource` implements it."""

    def histories_of(self, user_ids: Sequence[str]) -> Mapping[str, list[HistoryRow]]: ...


@dataclass(frozen=True)
class Candidates:
    """A list of the other model, best first: item ids [n] and scores [n]."""

    item_ids: list[str]
    scores: Float64Array


def candidates(
    model: Ranks, shoppers: Shoppers, shown: Sequence[ShownList], *, k: int, left_out: frozenset[str] = frozenset()
) -> list[Candidates]:
    """Return the model's list for each shown list, as of its time, without the items of `left_out`.

    Scores are rounded to half precision, as in Redis. Only whole hours before that time count for the trend, so no
    click on the list itself has an effect.
    """
    found = []
    for first in range(0, len(shown), BLOCK_LISTS):
        block = shown[first : first + BLOCK_LISTS]
        known = shoppers.histories_of(sorted({one.user_id for one in block}))
        past = [[row for row in known.get(one.user_id, ()) if row[1] < one.event_time] for one in block]
        times = np.array([one.event_time for one in block], dtype=np.int64)
        rows, scores = model.recommend(model.histories(past), as_of=times, k=k)
        for row, score in zip(rows, scores.astype(np.float16), strict=True):
            kept = [
                (model.item_ids[item], float(value))
                for item, value in zip(row.tolist(), score, strict=True)
                if item >= 0 and model.item_ids[item] not in left_out
            ]
            found.append(Candidates([item for item, _ in kept], np.array([value for _, value in kept])))
    return found


def lists_under(
    shown: Sequence[ShownList],
    listed: Sequence[Candidates],
    how: Exploration,
    *,
    positions: int,
    shares: Mapping[str, float],
) -> Lists:
    """Return the matrices of the shown lists under the other policy.

    Args:
        shown: The logged lists.
        listed: The other model's list for each of them.
        how: The other settings.
        positions: The number of columns. Shown lists are not longer.
        shares: The logged share of new items of each variant that showed some.

    Raises:
        UnknownShare: A list shows new items, and `shares` has no share of its variant.
    """
    shape = (len(shown), positions)
    shoppers = np.unique([one.user_id for one in shown], return_inverse=True)[1]
    folds = folds_of(len(shown))[shoppers]
    numbers = _Numbers()
    models = _reward_models(shown, folds, numbers, positions)
    there, ratios = np.zeros(shape, dtype=np.bool_), np.ones(shape)
    rewards, predicted, expected = (np.zeros(shape) for _ in range(3))
    new = NEWEST_ITEMS if how.new_items > 0 else 0
    for place, (one, theirs) in enumerate(zip(shown, listed, strict=True)):
        rows = {item: row for row, item in enumerate(theirs.item_ids)}
        keys = numbers.of([_name(item) for item in theirs.item_ids])
        model = models[folds[place]]
        before: list[int] = []
        for position, item in enumerate(one.items):
            chances = probabilities(theirs.scores, new, how, before)
            share = float(chances[len(rows) :].sum())
            row = rows.get(item.item_id)
            if row is not None:
                ratios[place, position] = chances[row] / item.propensity
                before.append(row)
            elif item.source == NEW:
                ratios[place, position] = share / _logged_share(shares, one.variant)
                before += [len(rows) + sum(choice >= len(rows) for choice in before)] if new else []
            else:
                ratios[place, position] = 0.0
            there[place, position] = True
            rewards[place, position] = item.reward
            predicted[place, position] = model.predict(position, numbers.of([_name(item.item_id, item.source)]))[0]
            expected[place, position] = chances[: len(rows)] @ model.predict(position, keys) + share * float(
                model.predict(position, numbers.of([NEW]))[0]
            )
    return Lists(there, ratios, rewards, shoppers, predicted, expected)


class _Numbers:
    """Numbers of items for the reward model. Items that were not shown share one number, and so do new items."""

    def __init__(self) -> None:
        self._known = {"": 0, NEW: 1}

    def learn(self, item: str) -> int:
        return self._known.setdefault(item, len(self._known))

    def of(self, items: Sequence[str]) -> IntArray:
        return np.array([self._known.get(item, 0) for item in items], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._known)


def _name(item_id: str, source: str = "") -> str:
    return NEW if source == NEW else f"item {item_id}"


def _reward_models(shown: Sequence[ShownList], folds: IntArray, numbers: _Numbers, positions: int) -> list[RewardModel]:
    """Return one model for each fold, fitted on the other shoppers."""
    rows = [
        (fold, position, numbers.learn(_name(item.item_id, item.source)), item.reward)
        for one, fold in zip(shown, folds.tolist(), strict=True)
        for position, item in enumerate(one.items)
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    row_folds, places, items = table[:, :3].astype(np.int64).T
    models = []
    for fold in range(FOLDS):
        others = row_folds != fold
        shape = (positions, len(numbers))
        models.append(RewardModel.fit(places[others], items[others], table[others, 3], shape=shape))
    return models


def _logged_share(shares: Mapping[str, float], variant: str) -> float:
    share = shares.get(variant, 0.0)
    if share <= 0:
        raise UnknownShare(f"{variant} showed new items, and no experiment of the table says with which share")
    return share
