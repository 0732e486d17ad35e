"""Columns: each pair of a shopper and a known item as 31 numbers, the input of the net.

Arrives: `Pairs` and `ItemFacts` from before one time. Leaves: [P, 31] float32. Next: `training.terms.habit.net`.

Cadence (what is due when) is a third of the gain, counts and popularity at several half-lives the rest. Cadence as one
more linear feature of the blend gains nothing: a window of weeks makes "due now" and "due in two weeks" both hits.
"""

import numpy as np

from graphstore.arrays import Float32Array, Float64Array
from training.terms.habit.item_facts import ItemFacts, expected_repeats
from training.terms.habit.pairs import HALF_LIVES_DAYS, Pairs

COUNT_GAIN = 100.0
SHARE_GAIN = 1000.0

COLUMN_NAMES = (
    "hazard_average",
    "hazard_expected",
    "hazard_probability",
    "frailty",
    "age",
    "interval",
    "age_in_intervals",
    "age_in_intervals_squared",
    "visits_since",
    "visit_share",
    "visits_since_in_usual",
    "once",
    "same_weekday",
    "visits",
    "again",
    "visit_age",
    "visit_rate",
    "first_age",
    "days",
    *(f"{kind}_{life:g}" for kind in ("own", "share", "total", "popularity") for life in HALF_LIVES_DAYS),
)


def columns_of(pairs: Pairs, facts: ItemFacts, *, horizon_days: float) -> Float32Array:
    """Return the columns [P, num_columns] of the pairs for the next `horizon_days`, in the order of `COLUMN_NAMES`."""
    hazards, k = facts.hazards, facts.frailty
    repeats = pairs.num_days - 1
    expected = expected_repeats(pairs, hazards)
    later: Float64Array = pairs.last_age + np.float64(horizon_days)
    ahead = hazards.cumulative(pairs.items, later)
    ahead -= hazards.cumulative(pairs.items, pairs.last_age)
    frailty = (k + repeats) / (k + expected)
    probability = 1 - (1 + ahead / (k + expected)) ** -(k + repeats)
    # The mean gap with one more gap of the item's mean, so a pair with one purchase has an interval, too.
    interval = (pairs.first_age - pairs.last_age + facts.gap_days[facts.rows(pairs.items)]) / pairs.num_days
    overdue = np.log(pairs.last_age / np.maximum(interval, 1.0) + 0.05)
    usual = (pairs.visits_from_first - pairs.visits_since) / pairs.num_days  # visits for one purchase
    columns = np.empty((len(pairs), len(COLUMN_NAMES)), dtype=np.float32)
    single = (
        np.log1p(COUNT_GAIN * -np.expm1(-ahead)),
        np.log1p(COUNT_GAIN * frailty * ahead),
        np.log1p(COUNT_GAIN * probability),
        np.log(frailty),
        np.log1p(pairs.last_age),
        np.log1p(interval),
        overdue,
        overdue**2,
        np.log1p(pairs.visits_since),
        pairs.num_days / pairs.visits_from_first,
        np.log1p(pairs.visits_since / usual),
        pairs.num_days == 1,
        pairs.same_weekday,
        np.log1p(pairs.visits),
        facts.again[facts.rows(pairs.items)],
        np.log1p(pairs.user_last_age),
        pairs.visits / pairs.user_first_age,
        np.log1p(pairs.first_age),
        np.log1p(pairs.num_days),
    )
    for index, column in enumerate(single):
        columns[:, index] = column
    # After many half-lives without events the total is nearly zero, but the share is still valid.
    decayed = (
        np.log1p(COUNT_GAIN * pairs.own),
        np.log1p(SHARE_GAIN * pairs.own / np.maximum(pairs.total, 1e-300)),
        np.log1p(pairs.total),
        np.log1p(facts.popularity.counts[pairs.items]),
    )
    columns[:, len(single) :] = np.concatenate(decayed, axis=1)
    return columns
