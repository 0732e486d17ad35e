"""Assortment: how much of the catalogue was shown, how unusual, how varied, and how often the list was no one's own.

Arrives: the impressions of `shown` with their items, the catalogue, the counts of events by item. Leaves: coverage,
novelty, diversity and fallback share of each segment. Next: `shop_metrics`.

- coverage: the share of the available items that were shown to people. It is a count, so it has no interval.
- novelty: the mean of -log2(popularity) of a shown item, in bits. Popularity is the item's share of all events of the
  `POPULARITY_DAYS` before the end of the span. An item without events counts as one event.
  Without any event there is no novelty.
- diversity: of two items of one list, the share of pairs with different categories (the first category of each item),
  mean over lists. Items without a category are left out.
- fallback share: impressions of the popular list, which shoppers without a list of their own get.

Source: novelty from Zhou et al., PNAS 2010; diversity from Ziegler et al., WWW 2005 (1 - intra-list similarity).
"""

import json
from collections.abc import Iterable

import numpy as np
from sqlalchemy import Connection, func, select

from graphstore.arrays import BoolArray, Float64Array, IntArray, distinct, run_starts
from graphstore.tables import COUNT_COLUMNS, HOUR_MS, for_sale, item_buckets, items
from monitoring.clusters import Clusters
from monitoring.measures import Measure
from monitoring.names import Vocabulary
from monitoring.windows import TimeWindow
from serving.recommend import POPULAR
from training.evaluation.sequential import ClusterSums

POPULARITY_DAYS = 28
NO_CATEGORY = -1


class Catalogue:
    """What is known of the items of a vocabulary: popularity and category.

    `available` counts the items for sale, `events` the events of the time that popularity is taken from.
    """

    def __init__(self, connection: Connection, span: TimeWindow, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        last = -(-span.end // HOUR_MS)
        events = sum((item_buckets.c[name] for name in COUNT_COLUMNS[1:]), item_buckets.c[COUNT_COLUMNS[0]])
        popularity = (
            select(items.c.item_id, func.sum(events).label("events"))
            .join(items, items.c.item_key == item_buckets.c.item_key)
            .where(item_buckets.c.hour >= last - 24 * POPULARITY_DAYS, item_buckets.c.hour < last)
            .group_by(items.c.item_id)
        )
        self._events = {row.item_id: int(row.events) for row in connection.execute(popularity)}
        self.events = sum(self._events.values())
        known = connection.execute(select(items.c.item_id, items.c.categories, for_sale.label("for_sale"))).all()
        first = {row.item_id: next(iter(json.loads(row.categories)), None) for row in known}
        numbers = {name: index for index, name in enumerate(sorted({name for name in first.values() if name}))}
        self._category = {item: numbers[name] for item, name in first.items() if name}
        self._for_sale = {row.item_id for row in known if row.for_sale}
        self.available = len(self._for_sale)

    def information(self) -> Float64Array:
        """Return -log2(popularity) of each item of the vocabulary [items]."""
        counts = np.array([self._events.get(item, 1) for item in self._vocabulary.items.texts()], dtype=np.float64)
        return np.log2(max(self.events, 1) / np.maximum(counts, 1))

    def categories(self) -> IntArray:
        """Return the first category of each item of the vocabulary [items]; `NO_CATEGORY` for none."""
        texts = self._vocabulary.items.texts()
        return np.array([self._category.get(item, NO_CATEGORY) for item in texts], dtype=np.int64)

    def for_sale(self) -> BoolArray:
        """Return which items of the vocabulary [items] are available."""
        return np.array([item in self._for_sale for item in self._vocabulary.items.texts()], dtype=np.bool_)


class Assortment:
    """Adds up the shown impressions of one kind of segment."""

    def __init__(self, catalogue: Catalogue, vocabulary: Vocabulary) -> None:
        self._catalogue = catalogue
        self._vocabulary = vocabulary
        self._items: list[IntArray] = []
        self._impressions = Clusters()
        self._lists = Clusters()

    def add(self, segment: IntArray, person: IntArray, of_list: IntArray, item: IntArray, source: IntArray) -> None:
        """Add impressions [rows] that were shown to people."""
        if not len(segment):
            return
        fallback = source == self._vocabulary.sources.known([POPULAR])[0]
        ones = np.ones(len(segment))
        columns = [ones, self._catalogue.information()[item], fallback.astype(np.float64)]
        self._impressions.add(segment, person, columns)
        for_sale = self._catalogue.for_sale()[item]
        self._items.append(distinct((segment[for_sale] << 32) | item[for_sale]))
        self._add_lists(segment, person, of_list, self._catalogue.categories()[item])

    def _add_lists(self, segment: IntArray, person: IntArray, of_list: IntArray, category: IntArray) -> None:
        has = category != NO_CATEGORY
        if not has.any():
            return
        size = int(of_list.max()) + 1
        group = segment[has] * size + of_list[has]
        lists = distinct(group)
        index = np.searchsorted(lists, group)
        number = np.bincount(index, minlength=len(lists))
        cells = np.sort(index * (int(category.max()) + 1) + category[has])
        starts = run_starts(cells)
        alike = np.diff(starts, append=len(cells))
        of_cell = cells[starts] // (int(category.max()) + 1)
        same = np.bincount(of_cell, alike * (alike - 1) / 2, minlength=len(lists))
        pairs = number * (number - 1) / 2
        owner = np.zeros(len(lists), dtype=np.int64)
        owner[index] = person[has]
        several = pairs > 0
        varied = 1 - same[several] / pairs[several]
        self._lists.add(lists[several] // size, owner[several], [varied, np.ones(int(several.sum()))])

    def measures(self) -> dict[int, list[Measure]]:
        """Return the figures of each segment."""
        novelty, fallback = (self._impressions.ratios(top, 0) for top in (1, 2))
        diversity = self._lists.ratios(0, 1)
        shown = dict(_counted(distinct(np.concatenate(self._items)) >> 32)) if self._items else {}
        found = {}
        for segment in novelty:
            covered = shown.get(segment, 0) / self._catalogue.available if self._catalogue.available else None
            found[segment] = [
                Measure.exact("coverage", "share", covered, self._catalogue.available),
                Measure.mean("novelty", "bits", novelty[segment] if self._catalogue.events else ClusterSums()),
                Measure.mean("diversity", "share", diversity.get(segment, ClusterSums())),
                Measure.share("fallback_share", fallback[segment]),
            ]
        return found


def _counted(ordered: IntArray) -> Iterable[tuple[int, int]]:
    starts = run_starts(ordered)
    return zip(ordered[starts].tolist(), np.diff(starts, append=len(ordered)).tolist(), strict=True)
