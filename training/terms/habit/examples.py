"""Training pairs of the habit term: known items at several earlier cuts of the past, and whether they came again.

Arrives: an `EventLog`. Leaves: columns and labels. Next: `training.terms.habit.net`.

The blend sees one window. Many earlier ones lie in the log: at each cut, the shoppers who come in the horizon after it
have pairs, and a pair's label is whether its item was among what they took. Two thirds of the term's gain are these
labels: with one cut instead of four, the gain on a grocery falls from 0.5 to 0.1 %.

All facts of a cut (hazards, rates, popularity) are counted anew from the events before it.
"""

import logging
from dataclasses import dataclass

import numpy as np

from graphstore.arrays import BoolArray, Float32Array, IntArray, distinct, find_sorted
from graphstore.errors import UserError
from graphstore.tables import DAY_MS
from training.data.event_log import EventLog
from training.terms.habit.columns import COLUMN_NAMES, columns_of
from training.terms.habit.item_facts import ItemFacts
from training.terms.habit.pairs import Pairs

logger = logging.getLogger(__name__)


class TooFewHabits(UserError):
    """The past is too short for a cut, or too few known items were taken again after the cuts."""


@dataclass(frozen=True)
class HabitSettings:
    """Settings of a fit."""

    horizon_ms: int
    """The term says what comes again within this time. It is the length of the window that the model is judged on."""
    cuts: int = 4
    """The largest number of cuts, each one horizon before the next."""
    pairs_per_cut: int = 120_000
    """Pairs of a cut with more are sampled."""
    min_repeats: int = 1_000
    """The least number of pairs that came again, over all cuts. Nets of four thousand weights need them."""

    def __post_init__(self) -> None:
        if self.horizon_ms < DAY_MS:
            raise TooFewHabits(f"a horizon of {self.horizon_ms / DAY_MS:.2g} days: habits are counted in whole days")


def training_pairs(log: EventLog, settings: HabitSettings, *, seed: int) -> tuple[Float32Array, BoolArray]:
    """Return the columns [P, num_columns] and the labels [P] of the pairs of all cuts.

    A cut has at least one horizon of events before it. Raises `TooFewHabits`.
    """
    end = int(log.times[-1]) + 1 if len(log) else 0
    start = int(log.times[0]) if len(log) else 0
    cuts = [end - number * settings.horizon_ms for number in range(1, settings.cuts + 1)]
    cuts = [cut for cut in cuts if cut - start >= settings.horizon_ms]
    rng = np.random.default_rng(seed)
    columns, labels = [np.empty((0, len(COLUMN_NAMES)), dtype=np.float32)], [np.empty(0, dtype=np.bool_)]
    for cut in cuts:
        past, later = log.between(end=cut), log.between(cut, cut + settings.horizon_ms)
        users = distinct(past.users)
        pairs = Pairs.of(past.histories(users), as_of=cut)
        facts = ItemFacts.of(past, pairs)
        chosen = _sample(np.flatnonzero(np.isin(users[pairs.users], later.users)), settings.pairs_per_cut, rng)
        pairs = pairs.take(chosen)
        columns.append(columns_of(pairs, facts, horizon_days=settings.horizon_ms / DAY_MS))
        labels.append(find_sorted(users[pairs.users] * log.num_items + pairs.items, distinct(later.cells))[1])
    found = np.concatenate(labels)
    if found.sum() < settings.min_repeats or not len(found):
        raise TooFewHabits(
            f"{int(found.sum())} known items were taken again after {len(cuts)} earlier cuts: a habit model needs "
            f"{settings.min_repeats}"
        )
    logger.info("habit: %d pairs at %d cuts, %d came again", len(found), len(cuts), int(found.sum()))
    return np.concatenate(columns), found


def _sample(indices: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    return indices if len(indices) <= most else np.sort(rng.choice(indices, most, replace=False))
