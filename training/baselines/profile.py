"""User profiles as a sparse matrix: the input of baselines that learn no user parameters.

Arrives: `Histories`. Leaves: a matrix over items. Next: the item models, and the factor models for users without an
embedding.
"""

from math import inf

import numpy as np
from scipy import sparse

from training.data.event_log import Histories
from training.graph.profiles import Profiles

HALF_LIVES = (2.0, 5.0, 20.0, 50.0, inf)
"""Half-lives of the profile in ranks, counted from the newest item. Tuning tries them."""


def decayed_profiles(histories: Histories, half_life: float, *, num_items: int) -> sparse.csr_array:
    """Return each user's distinct items [B, num_items] float32. The item of rank r has the weight 0.5^(r /
    half_life)."""
    longest = int(np.diff(histories.offsets).max(initial=1))
    profiles = Profiles.from_histories(histories, last=longest, num_items=num_items)
    starts = np.repeat(profiles.offsets[:-1], np.diff(profiles.offsets))
    ranks = np.arange(len(profiles.items)) - starts
    weights = np.exp2(-ranks / half_life).astype(np.float32)
    cells = (profiles.rows(), profiles.items)
    return sparse.csr_array(sparse.coo_array((weights, cells), shape=(len(histories), num_items)))
