"""Columns: what is compared of the events.

Arrives: `Traffic`, the champion's item map. Leaves: `Column`s. Next: `judgement` scores them.

A column must not depend on the length or the time of the window. Otherwise a quiet shop drifts. So the popularity and
the usual price of an item come from the two weeks before the event's day, also for events of the reference. Rejected:
all other days of the reference. An item that is new today is then known to later days of the reference, never to the
current window, and a shop with a new item every day drifts every day. A shopper's activity counts one day. The day of
the week is no column, because the same days of the week are compared.

A price is what a purchase says. Rejected: the price in the catalogue, because the catalogue knows only today's price,
so a price shock changes past and present alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphstore.arrays import Float64Array, IntArray, distinct, find_sorted
from graphstore.retention import DAY_MS
from graphstore.tables import EVENT_TYPES
from monitoring.drift.psi import Bins, number_bins
from monitoring.drift.traffic import EARLIER_DAYS, Traffic

BLOCK_HOURS = 4
TOP = 20
OTHER = "(other)"
MOST_POPULAR = 14
MOST_ACTIVE = 5
PRICE_STEPS = 4
"""Steps of a price change for each doubling of the price."""
MOST_PRICE_STEPS = 6
USUAL_PURCHASES = 3
"""An item has a usual price after so many purchases in the two weeks before."""


@dataclass(frozen=True)
class Column:
    """One value for each event. `numbers` is NaN without a value. With `words`, the numbers are places among them.

    `falls`: a column of two words, (no, yes), that drifts only when yes becomes rarer.
    """

    name: str
    numbers: Float64Array
    words: Sequence[str] | None = None
    falls: bool = False

    def bins(self, reference: Float64Array, current: Float64Array) -> Bins:
        """Return the bins for these numbers of the two sides."""
        if self.words is None:
            return number_bins(reference, current)
        return Bins(np.arange(len(self.words), dtype=np.float64), by_value=True)


def event_columns(traffic: Traffic, item_map: Float64Array | None = None) -> list[Column]:
    """Return the columns of the events.

    `item_map` [items, axes] says where the champion places each item of `traffic`, NaN for an item it does not know.
    """
    days = traffic.days
    columns = [
        _kind(traffic),
        Column("time_of_day", _numbers(traffic.times % DAY_MS // (BLOCK_HOURS * 3_600_000)), _hours()),
        _top("top_item", traffic.items, traffic.item_ids, traffic.first_current),
        _category(traffic),
        Column("item_popularity", _popularity(traffic, days)),
        Column("price_paid", np.log2(1 + np.maximum(traffic.values, 0))),
        Column("price_change", _price_change(traffic, days)),
        Column("activity", _activity(traffic, days)),
    ]
    if item_map is not None:
        columns += [Column(f"embedding_{axis + 1}", values[traffic.items]) for axis, values in enumerate(item_map.T)]
    return columns


def _numbers(codes: IntArray) -> Float64Array:
    return codes.astype(np.float64)


def _hours() -> list[str]:
    return [f"{hour:02d} h" for hour in range(0, 24, BLOCK_HOURS)]


def _kind(traffic: Traffic) -> Column:
    return Column("event_type", traffic.kinds.astype(np.float64), EVENT_TYPES)


def _category(traffic: Traffic) -> Column:
    names = sorted(set(traffic.categories))
    place = {name: row for row, name in enumerate(names)}
    codes = np.array([place[name] for name in traffic.categories], dtype=np.int64)
    return _top("category", codes[traffic.items], names, traffic.first_current)


def _top(name: str, codes: IntArray, words: Sequence[str], first_current: int) -> Column:
    """Return the most frequent words of the reference, all others as one word."""
    counts = np.bincount(codes[:first_current], minlength=len(words))
    best = np.argsort(-counts, kind="stable")[:TOP]
    place = np.full(len(words), len(best))
    place[best] = np.arange(len(best))
    return Column(name, _numbers(place[codes]), [*(words[row] for row in best.tolist()), OTHER])


def _in_weeks_before(traffic: Traffic, days: IntArray, weights: Float64Array) -> Float64Array:
    """Return [n] the sum of the weights [n] of the item's events in the `EARLIER_DAYS` before the event's day.

    For the current window these are the last days of the reference: what the champion could know at its training.
    """
    reference = slice(0, traffic.first_current)
    at = np.minimum(days, (traffic.reference_end - traffic.end) // DAY_MS)
    # One number for item and day, ascending in both, so that a span of days is a range of the sorted numbers.
    first = at.min(initial=0) - EARLIER_DAYS
    step = at.max(initial=0) - first + 1
    cells = traffic.items * step + (at - first)
    order = np.argsort(cells[reference], kind="stable")
    known = cells[reference][order]
    sums = np.concatenate([[0.0], np.cumsum(weights[reference][order])])
    ends, starts = np.searchsorted(known, cells), np.searchsorted(known, cells - EARLIER_DAYS)
    found: Float64Array = sums[ends] - sums[starts]
    return found


def _popularity(traffic: Traffic, days: IntArray) -> Float64Array:
    """The logarithm, not the count: then equal bins divide the many small values of a long tail. 0: a new item."""
    counts = _in_weeks_before(traffic, days, np.ones(len(traffic)))
    return np.where(counts > 0, np.minimum(1 + np.floor(np.log2(np.maximum(counts, 1))), MOST_POPULAR), 0.0)


def _price_change(traffic: Traffic, days: IntArray) -> Float64Array:
    """The price in steps above or below the item's usual price (the geometric mean of the two weeks before)."""
    priced = traffic.values > 0  # False for NaN
    logarithms = np.log2(np.where(priced, traffic.values, 1.0))
    counts = _in_weeks_before(traffic, days, priced.astype(np.float64))
    usual = _in_weeks_before(traffic, days, logarithms) / np.maximum(counts, 1)
    steps = np.clip(np.round((logarithms - usual) * PRICE_STEPS), -MOST_PRICE_STEPS, MOST_PRICE_STEPS)
    return np.where(priced & (counts >= USUAL_PURCHASES), steps, np.nan)


def _activity(traffic: Traffic, days: IntArray) -> Float64Array:
    """The logarithm of how many events the shopper has on the event's day."""
    shoppers = distinct(traffic.shoppers)
    cells = days * max(len(shoppers), 1) + find_sorted(traffic.shoppers, shoppers)[0]
    own_cells = distinct(cells)
    places = find_sorted(cells, own_cells)[0]
    counts = np.bincount(places, minlength=len(own_cells))[places]
    return np.minimum(np.floor(np.log2(np.maximum(counts, 1))), MOST_ACTIVE)
