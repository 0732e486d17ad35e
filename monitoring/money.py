"""Money: revenue, revenue for each thousand impressions, order value and items, by segment and currency.

Arrives: the shown impressions of people and their attributed purchases and refunds. Leaves: figures of each segment.
Next: `shop_metrics`.

Currencies are never added together. Net revenue is revenue minus refunds; revenue for a thousand impressions is of net
revenue. Order value is revenue for each order, before refunds. Both are clustered by shopper.
"""

import math
from collections import defaultdict

import numpy as np

from graphstore.arrays import IntArray
from monitoring.clusters import Clusters
from monitoring.measures import Measure
from monitoring.shown import CLICK_TYPES, PURCHASE, Credits

NO_CURRENCY = "no currency"
"""The unit of amounts for which the shop names no currency."""


class Money:
    """Adds up the impressions and the money of one kind of segment."""

    def __init__(self) -> None:
        self._impressions = Clusters()
        self._amounts: dict[str, dict[tuple[int, int], list[float]]] = defaultdict(lambda: defaultdict(list))
        self._orders: dict[str, dict[tuple[int, int], set[str]]] = defaultdict(lambda: defaultdict(set))

    def add(self, segment: IntArray, person: IntArray, purchased: IntArray) -> None:
        """Add impressions [rows] that were shown to people; `purchased`: 1 if the item was bought."""
        self._impressions.add(segment, person, [np.ones(len(segment)), purchased.astype(np.float64)])

    def add_credits(self, credits: Credits, chosen: IntArray, segment: IntArray, person: IntArray) -> None:
        """Add the chosen attributed events [n], with the segment and the shopper of each."""
        for index, of, who in zip(chosen.tolist(), segment.tolist(), person.tolist(), strict=True):
            revenue, kind, currency = credits.revenue[index], credits.event_type[index], credits.currency[index]
            if math.isnan(revenue) or (kind != PURCHASE and kind in CLICK_TYPES):
                continue
            self._amounts[currency][of, who].append(float(revenue))
            if kind == PURCHASE:
                self._orders[currency][of, who].add(credits.order[index])

    def measures(self) -> dict[int, list[Measure]]:
        """Return the figures of each segment."""
        if not self._impressions:
            return {}
        segments, persons, (shown, bought) = self._impressions.sums()
        ones = Clusters()
        ones.add(segments, persons, [shown, bought, np.ones(len(segments))])
        items_shown, items_bought = ones.ratios(0, 2), ones.ratios(1, 2)
        found = {
            segment: [
                Measure.mean("items_shown_a_shopper", "items", items_shown[segment]),
                Measure.mean("items_bought_a_shopper", "items", items_bought[segment]),
            ]
            for segment in items_shown
        }
        for currency in sorted(self._amounts):
            for segment, measures in self._of_currency(currency, segments, persons, shown).items():
                found.setdefault(segment, []).extend(measures)
        return found

    def _of_currency(
        self, currency: str, segments: IntArray, persons: IntArray, shown: np.ndarray
    ) -> dict[int, list[Measure]]:
        unit = currency or NO_CURRENCY
        amounts, orders = self._amounts[currency], self._orders[currency]
        keys = sorted(amounts)
        gross = [math.fsum(value for value in amounts[key] if value > 0) for key in keys]
        back = [-math.fsum(value for value in amounts[key] if value < 0) for key in keys]
        columns = np.array([gross, back, [len(orders.get(key, ())) for key in keys]])
        of, who = (np.array([key[part] for key in keys], dtype=np.int64) for part in (0, 1))
        clusters = Clusters()
        clusters.add(of, who, [np.zeros(len(keys)), columns[0] - columns[1], columns[0], columns[2]])
        none = np.zeros(len(segments))
        clusters.add(segments, persons, [shown, none, none, none])
        thousand, order_value = clusters.ratios(1, 0), clusters.ratios(2, 3)
        found = {}
        for segment in np.unique(of).tolist():
            revenue, refunds = (math.fsum(column[of == segment].tolist()) for column in columns[:2])
            number = int(columns[2][of == segment].sum())
            found[segment] = [
                Measure.exact("revenue", unit, revenue, number),
                Measure.exact("refunds", unit, refunds, number),
                Measure.exact("net_revenue", unit, revenue - refunds, number),
            ]
            if segment in thousand:
                found[segment].append(
                    Measure.mean("revenue_a_thousand_impressions", unit, thousand[segment], scale=1000.0)
                )
            if segment in order_value:
                found[segment].append(Measure.mean("order_value", unit, order_value[segment]))
        return found
