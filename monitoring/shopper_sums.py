"""Shopper sums: what the shoppers of a variant were shown, clicked and bought, as sums over shoppers.

Arrives: the impressions of `shown`. Leaves: sums for two rates: items with a click (as `counts` counts clicks) and
items with a purchase, for each shown item. Next: `probation` and `experiments` compare the sums of two variants,
clustered by shopper, because one shopper's clicks are similar.

Only what was shown to people counts. A person who was served in several sessions is one shopper.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import Connection

from graphstore.arrays import Float64Array, IntArray
from monitoring.names import Vocabulary
from monitoring.shown import read_shown
from monitoring.windows import TimeWindow
from training.evaluation.sequential import ClusterSums

CTR = "ctr"
CONVERSION = "conversion"
RATES = (CTR, CONVERSION)

Sums = dict[str, ClusterSums]
"""The sums of a variant by rate: ctr, conversion."""


def shopper_sums(
    connection: Connection,
    variants: Mapping[str, str | None],
    *,
    start: int,
    end: int,
    without: Sequence[TimeWindow] = (),
) -> dict[str, Sums]:
    """Return the sums of each variant's lists that were served in start <= t < end (epoch ms).

    `variants` names the model whose lists count of each variant, because the variant `champion` has had other models
    before; None: those of every model. Lists that were served in the spans `without` do not count.
    """
    span, vocabulary = TimeWindow(start, end), Vocabulary()
    shopper = {variant: _Shoppers() for variant in variants}
    for rows in read_shown(connection, span, vocabulary):
        lists = rows.within(span)
        units = rows.by_list.part(lists)
        counted = (units.shown > 0) & ~units.robot
        for gap in without:
            counted &= (rows.time[lists] < gap.start) | (rows.time[lists] >= gap.end)
        for (variant, model), code in zip(variants.items(), vocabulary.variants.known(list(variants)), strict=True):
            chosen = counted & (rows.variant[lists] == code)
            if model is not None:
                chosen &= rows.model[lists] == vocabulary.models.known([model])[0]
            shopper[variant].add(
                *(column[chosen] for column in (units.person, units.shown, units.clicked, units.purchased))
            )
    return {variant: shopper[variant].sums() for variant in variants}


class _Shoppers:
    """The items, clicks and purchases [shoppers] of one variant. The index is the shopper's integer."""

    def __init__(self) -> None:
        self._totals: list[Float64Array] = [np.zeros(0), np.zeros(0), np.zeros(0)]

    def add(self, person: IntArray, *columns: IntArray) -> None:
        if not len(person):
            return
        size = max(int(person.max()) + 1, len(self._totals[0]))
        for index, weights in enumerate(columns):
            added = np.bincount(person, weights, minlength=size).astype(np.float64)
            added[: len(self._totals[index])] += self._totals[index]
            self._totals[index] = added

    def sums(self) -> Sums:
        items, clicks, purchases = (total[self._totals[0] > 0] for total in self._totals)
        return {CTR: ClusterSums.of(clicks, items), CONVERSION: ClusterSums.of(purchases, items)}
