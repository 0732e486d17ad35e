"""Shoppers' profiles as a sparse matrix: what a baseline without a user's own parameters scores from.

Arrives: `Histories`. Leaves: a matrix over items. Next: the item models and the fold-ins of the factor models.
"""

from math import inf

import numpy as np
from scipy import sparse

from training.data.event_log import Histories
from training.graph.profiles import Profiles

HALF_LIVES = (2.0, 5.0, 20.0, 50.0, inf)
"""Items after which one counts half, in ranks from the newest; the profile is tuned over these."""


def decayed_profiles(histories: Histories, half_life: float, *, num_items: int) -> sparse.csr_array:
    """The distinct items of each shopper [B, num_items] float32; the one of rank r weighs 0.5^(r / half_life)."""
    longest = int(np.diff(histories.offsets).max(initial=1))
    profiles = Profiles.from_histories(histories, last=longest, num_items=num_items)
    starts = np.repeat(profiles.offsets[:-1], np.diff(profiles.offsets))
    ranks = np.arange(len(profiles.items)) - starts
    weights = np.exp2(-ranks / half_life).astype(np.float32)
    places = (profiles.rows(), profiles.items)
    return sparse.csr_array(sparse.coo_array((weights, places), shape=(len(histories), num_items)))
