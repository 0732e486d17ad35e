"""Evidently report: Evidently scores the columns and draws the reports.

Arrives: the candidates of `judgement`, the counts of clicks, the items of lists. Leaves: scores by column, and
Evidently's snapshots. Next: `report_files` and `workspace` save them.

Every column is scored by PSI (`psi`), with a threshold of its own. Evidently's automatic tests are switched off,
because they also fail when the number of rows changes. Its choice of method is not used either: it changes with the
number of rows, and no method of it knows that one shopper's events are alike.

The import takes seconds and about 200 MB, so only the child process of `job` imports this module.
"""

import math
import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")  # Evidently reads it during its import

import evidently.legacy.ui.dashboards.utils  # noqa: F401  # side effect: the colours of the figures
import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Recsys, Report
from evidently.presets import DataDriftPreset, RecsysPreset, ValueStats

from graphstore.arrays import Float64Array
from monitoring.counts import Counts
from monitoring.drift.columns import Column
from monitoring.drift.judgement import Candidate
from monitoring.drift.lists import Ranked
from monitoring.drift.own_metrics import METHOD, additional_tables
from stream.events import utc

LIST_SCORE = "list_score"
LISTED_ITEMS = 10
"""The ranking report looks at so many items of a list, or at as many as the longest list of each side has."""
MIN_CLICKED = 20
"""Clicked items that each side of the ranking report needs. Its metrics leave lists without a click out."""

Snapshot = Any
"""Evidently's snapshot of a report. Evidently has no types."""


def score_columns(
    found: Sequence[Candidate],
    probability: float,
    *,
    clicks: tuple[Counts, float | None] | None = None,
    list_scores: tuple[Float64Array, Float64Array] | None = None,
    at: int,
) -> tuple[dict[str, float], Snapshot]:
    """Score the candidates of one reference that are not skipped; return the scores by label, and the snapshot.

    Args:
        found: candidates with a null; at least one. Those of one table have equally many rows.
        probability: of a false alarm in one column. It sets the thresholds in the report.
        clicks: the counts of the current window and the rate of the reference. The report shows them.
        list_scores: the scores of lists (reference, current). The report describes them; no verdict depends on them.
        at: the time of the snapshot (epoch ms).

    Raises `RuntimeError` if Evidently gives no finite score for a column.
    """
    thresholds = {one.column.name: one.null.threshold(probability) for one in found if one.null is not None}
    tables = [pd.concat(_tables(found, side, list_scores), ignore_index=True) for side in (1, 0)]
    words = [one.column.name for one in found if one.column.words is not None]
    numbers = [name for name in tables[0].columns if name not in words]
    definition = DataDefinition(categorical_columns=words, numerical_columns=numbers)
    beside, own = additional_tables(thresholds, clicks)
    metrics: list[Any] = [
        DataDriftPreset(
            columns=list(thresholds),
            method=METHOD,
            per_column_threshold=thresholds,
            drift_share=1 / len(thresholds),  # a column that drifts counts alone
        )
    ]
    if list_scores is not None:
        metrics.append(ValueStats(column=LIST_SCORE))
    metrics += own
    snapshot = _run(metrics, definition, tables, at=at, part=found[0].reference, beside=beside)
    return _scores(snapshot, found), snapshot


def rank_lists(reference: Sequence[Ranked], current: Sequence[Ranked], *, at: int) -> Snapshot | None:
    """Return Evidently's report of recommendations, or None if a side has too few clicks (`MIN_CLICKED`)."""
    if min(sum(item.clicked for item in side) for side in (reference, current)) < MIN_CLICKED:
        return None
    definition = DataDefinition(
        numerical_columns=["score", "clicked"],
        ranking=[
            Recsys(
                user_id="request_id",
                item_id="item_id",
                target="clicked",
                prediction="score",
                recommendations_type="score",
            )
        ],
    )
    tables = [pd.DataFrame(list(side), columns=list(Ranked._fields)) for side in (current, reference)]
    longest = (max(Counter(item.request_id for item in side).values()) for side in (reference, current))
    return _run([RecsysPreset(k=min(LISTED_ITEMS, *longest))], definition, tables, at=at, part="ranking")


def _run(
    metrics: list[Any],
    definition: Any,
    tables: Sequence[pd.DataFrame],
    *,
    at: int,
    part: str,
    beside: dict[str, Any] | None = None,
) -> Snapshot:
    sides = [Dataset.from_pandas(table, data_definition=definition) for table in tables]
    time: datetime = utc(at).replace(tzinfo=None)  # Evidently compares times without a zone
    # Evidently also computes correlations, and a constant column divides by its standard deviation of 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        return Report(metrics, include_tests=False).run(
            *sides, additional_data=beside, timestamp=time, metadata={"reference": part}
        )


def _tables(
    found: Sequence[Candidate], side: int, list_scores: tuple[Float64Array, Float64Array] | None
) -> list[pd.DataFrame]:
    """Return the columns of one side, in a table for each number of rows: events and lists have different rows."""
    tables: dict[int, dict[str, Any]] = {}
    for one in found:
        numbers = (one.before, one.now)[side]
        tables.setdefault(len(numbers), {})[one.column.name] = _shown(one.column, numbers)
    if list_scores is not None:
        tables.setdefault(len(list_scores[side]), {})[LIST_SCORE] = list_scores[side]
    return [pd.DataFrame(columns) for columns in tables.values()]


def _shown(column: Column, numbers: Float64Array) -> Any:
    if column.words is None:
        return numbers
    return np.array(column.words, dtype=object)[numbers.astype(np.int64)]


def _scores(snapshot: Snapshot, found: Sequence[Candidate]) -> dict[str, float]:
    """Return the scores by label. Metrics are found by name, not by index."""
    scores: dict[str, float] = {}
    for metric in snapshot.dict()["metrics"]:
        if str(metric["config"]["type"]).endswith(":ValueDrift"):
            scores[metric["config"]["column"]] = float(metric["value"])
    labelled = {one.label: scores.get(one.column.name, math.nan) for one in found}
    if not all(map(math.isfinite, labelled.values())):
        raise RuntimeError(f"Evidently gave no score of every column: {labelled}")
    return labelled
