"""Best sellers: what was bought most often in a window.

Arrives: `window_counts.Counts`. Leaves: lists of the shop and of each category. Next: `serving.shop_lists.refresh`.

An order line counts once, whatever its quantity, so that one wholesaler makes no best seller. The score is log(1 + n).
A shop that sells nothing (films, articles) has no best sellers; its slots fall back to what rises or is popular.
"""

import numpy as np

from serving.shop_lists.assortment import Assortment
from serving.shop_lists.ranked import ranked_lists
from serving.shop_lists.window_counts import Counts


def best_sellers(counts: Counts, window: str, assortment: Assortment) -> dict[str, bytes]:
    """Return the packed lists of a window by category."""
    sold = counts.sold[window]
    some = np.flatnonzero(sold > 0)
    return ranked_lists(counts.item_keys[some], np.log1p(sold[some]), sold[some], assortment)
