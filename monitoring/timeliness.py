"""Timeliness: how fresh the data and the lists are.

Arrives: `interactions`, `stream_progress`, `models`, the lists of `shown`. Leaves: freshness, lag and list age. Next:
`shop_metrics`.

- freshness: from the time of an event to the time at which it was stored, p50 and p99 of the events of the span. Events
  of an import of old data are old, and count as such.
- lag: since the worker last stored anything of each topic, the oldest topic that had any event in the last day. A shop
  in which nothing happens has a lag, too. What waits in Kafka is in the metrics of the worker.
- list age: from the promotion of the list's model (its making, if it never was the champion before) to the list, p50
  and p99.

Dead letters are in Kafka, and SQL knows nothing of them: see `sagestream dlq list` and the monitor's figures.

The interval of a quantile is between the order statistics that hold it with 95 % (binomial distribution, David &
Nagaraja, Order Statistics, 2003, chapter 7). It takes events as independent.
"""

import math

import numpy as np
from sqlalchemy import Connection, func, select

from graphstore.arrays import Float64Array, IntArray
from graphstore.retention import DAY_MS
from graphstore.tables import interactions, models, stream_progress
from monitoring.intervals import CONFIDENCE_Z, Rate
from monitoring.measures import Measure
from monitoring.names import Vocabulary
from monitoring.windows import TimeWindow

QUANTILES = (50, 99)


def quantile(values: Float64Array, percent: int) -> Rate:
    """Return a quantile of the values [n] with its interval. An end outside the values is None."""
    if not len(values):
        return Rate.nothing()
    ordered, n, p = np.sort(values), len(values), percent / 100
    half = CONFIDENCE_Z * math.sqrt(n * p * (1 - p))
    low, high = math.floor(n * p - half), math.ceil(n * p + half)
    return Rate(
        float(ordered[min(int(n * p), n - 1)]),
        float(ordered[low]) if low >= 0 else None,
        float(ordered[high]) if high < n else None,
        n,
    )


def quantiles(name: str, unit: str, values: Float64Array) -> list[Measure]:
    """Return p50 and p99 of the values [n]."""
    return [Measure(f"{name}_p{percent}", unit, fixed=quantile(values, percent)) for percent in QUANTILES]


def freshness(connection: Connection, span: TimeWindow) -> list[Measure]:
    """Return p50 and p99 of the time from an event to its place in the database, in ms."""
    query = select(interactions.c.ingest_time - interactions.c.event_time).where(
        interactions.c.event_time >= span.start, interactions.c.event_time < span.end
    )
    ages = np.fromiter((row[0] for row in connection.execute(query)), dtype=np.float64)
    return quantiles("freshness", "ms", ages)


def lag(connection: Connection, *, now: int) -> Measure:
    """Return the age of the stream's progress in ms. `now` is epoch ms."""
    newest = func.max(stream_progress.c.updated_at).label("at")
    query = select(newest).group_by(stream_progress.c.topic).having(newest >= now - DAY_MS)
    ages = [max(now - row.at, 0) for row in connection.execute(query)]
    return Measure.exact("lag", "ms", float(max(ages)) if ages else None, len(ages))


class Promoted:
    """Since when each model has served, epoch ms."""

    def __init__(self, connection: Connection, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._rows = {
            row.model_version: (row.promoted_at, row.created_at)
            for row in connection.execute(select(models.c.model_version, models.c.promoted_at, models.c.created_at))
        }

    def ages(self, model: IntArray, time: IntArray) -> Float64Array:
        """Return the age in ms of each list [lists] of these models, served at these times. NaN: an unknown model."""
        ages = np.full(len(model), np.nan)
        for code, name in enumerate(self._vocabulary.models.texts()):
            if name in self._rows:
                promoted, created = self._rows[name]
                chosen = model == code
                own = time[chosen].astype(np.float64)
                after = promoted is not None and own >= (promoted or 0)
                ages[chosen] = np.maximum(own - np.where(after, promoted or 0, created), 0)
        return ages
