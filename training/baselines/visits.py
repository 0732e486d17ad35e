"""Visits: a user's events cut into baskets, the input of the next-basket baselines.

Arrives: `Histories`. Leaves: the distinct items of each visit, and the age of the visit in visits. Next:
`training.baselines.tifu_knn` and `training.baselines.upcf`.

A visit is one day (UTC) of one user. Rejected: one visit for each time stamp, because logs of views have a time for
each event, so every basket would hold one item. Data without times have one visit for each user.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from graphstore.arrays import Float32Array, IntArray, begins_run
from graphstore.tables import DAY_MS
from training.baselines.tuning import Tuning
from training.data.event_log import EventLog, Histories
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions

BLOCK_CELLS = 4_000_000
"""Users × users (or × items) of one dense block."""

TUNING_USERS = 5_000
"""Users of the validation window that choose the settings. Each is compared with all users of the log."""


@dataclass(frozen=True)
class Visits:
    """The distinct (visit, item) pairs of some users, in the order of the users, each user's oldest visit first."""

    users: IntArray  # [n] index of the user
    items: IntArray  # [n] row of the item
    ages: IntArray  # [n] number of newer visits of the same user
    counts: IntArray  # [B] number of visits of each user
    num_items: int

    @classmethod
    def of(cls, histories: Histories, *, num_items: int) -> "Visits":
        """Cut the histories into visits. An item counts once in a visit."""
        rows, days = histories.rows(), histories.times // DAY_MS
        first = begins_run(rows, days)  # of a visit
        owners = rows[first]
        counts = np.bincount(owners, minlength=len(histories))
        cells = np.unique((np.cumsum(first) - 1) * num_items + histories.items)
        visits, items = cells // max(num_items, 1), cells % max(num_items, 1)
        users = owners[visits]
        return cls(users, items, np.cumsum(counts)[users] - 1 - visits, counts, num_items)

    @classmethod
    def of_log(cls, log: EventLog) -> "Visits":
        """Cut the histories of all users with an event in the log."""
        return cls.of(log.histories(np.unique(log.users)), num_items=log.num_items)

    def __len__(self) -> int:
        """The number of users."""
        return len(self.counts)

    @property
    def ordered(self) -> bool:
        """Whether any user has two visits. If not, recency has no meaning."""
        return bool((self.counts > 1).any())

    def matrix(self, values: Float32Array) -> sparse.csr_array:
        """Return the sum of `values` [n] for each user and item [B, num_items]."""
        shape = (len(self), self.num_items)
        return sparse.csr_array(sparse.coo_array((values, (self.users, self.items)), shape=shape))

    def bought(self) -> sparse.csr_array:
        """Return 1 for each item in any visit of the user [B, num_items]."""
        matrix = self.matrix(np.ones(len(self.users), dtype=np.float32))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix


def visit_tuning(split: EvaluationSplit, name: str, options: TrainingOptions) -> Tuning:
    """Return the search of a baseline that compares users with users, on at most `TUNING_USERS` users."""
    sampled = replace(split, validation=split.validation.sample(TUNING_USERS, seed=0))
    return Tuning(sampled, name, options.progress)
