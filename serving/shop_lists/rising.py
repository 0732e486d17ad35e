"""Rising: what has more events in a window than its own past lets expect.

Arrives: `window_counts.Counts`. Leaves: lists of the shop and of each category. Next: `serving.shop_lists.refresh`.

An item with m of the shop's M events in the time before the window is expected to have E = N m / M of its N events in
the window. So a shop that is busier in the evening, or every day, lifts no item. The count n is a Poisson variable of
mean r E, and the ratio r has the prior Gamma(k, k), of mean 1. Its posterior mean is (n + k) / (E + k), and the score
is the logarithm: the Gamma-Poisson shrinker (DuMouchel, 1999). With k = 5 one event of an item without a past scores
0.18, twenty score 1.6, and fifty where ten were expected 1.3. A shop without a past ranks by n.
"""

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from serving.shop_lists.assortment import Assortment
from serving.shop_lists.ranked import ranked_lists
from serving.shop_lists.window_counts import Counts

PRIOR = 5.0
"""The k of the prior: as if so many events had already come as expected."""

FEWEST_EVENTS = 3
"""An item with fewer events in the window does not rise."""


def rise(events: IntArray, past: IntArray) -> Float64Array:
    """Return the score of each item [n] from its events in the window and before it, [n] both. 0: as expected."""
    now, before = np.maximum(events, 0), np.maximum(past, 0)
    expected = now.sum() * before / max(before.sum(), 1)
    scores: Float64Array = np.log((now + PRIOR) / (expected + PRIOR))
    return scores


def rising(counts: Counts, window: str, assortment: Assortment) -> dict[str, bytes]:
    """Return the packed lists of a window by category. An entry's number is that of its events in the window."""
    events = counts.events[window]
    scores = rise(events, counts.past[window])
    some = np.flatnonzero((events >= FEWEST_EVENTS) & (scores > 0))
    return ranked_lists(counts.item_keys[some], scores[some], events[some], assortment)
