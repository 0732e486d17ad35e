"""Assessment: one drift report, from SQL to the verdict and the files.

Arrives: the comparison, an SQL connection. Leaves: a `DriftResult`, Evidently's files and runs. Next: `job` sends the
result to the monitor.

Only the child process of `job` imports this module, because it imports Evidently.
"""

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from graphstore.arrays import Float64Array
from monitoring.counts import Counts, count
from monitoring.drift.columns import event_columns
from monitoring.drift.evidently_report import rank_lists, score_columns
from monitoring.drift.item_map import ChampionMap, ItemMap, NoItemMap
from monitoring.drift.judgement import Candidate, candidates, false_alarm_probability
from monitoring.drift.lists import Ranked, list_columns, read_lists, read_ranked, stored_rate
from monitoring.drift.references import Comparison, Reference
from monitoring.drift.report_files import write_report
from monitoring.drift.traffic import read_traffic
from monitoring.drift.verdict import ColumnDrift, DriftResult
from monitoring.drift.workspace import save_runs
from monitoring.windows import ALL

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gathered:
    """What was read for one reference. `scores` are those of lists, `ranked` their items: (reference, current)."""

    reference: Reference
    found: list[Candidate]
    events: tuple[int, int]
    scores: tuple[Float64Array, Float64Array] | None = None
    ranked: tuple[list[Ranked], list[Ranked]] = field(default_factory=lambda: ([], []))
    rate: float | None = None

    @property
    def usable(self) -> list[Candidate]:
        """The columns that can be scored."""
        return [one for one in self.found if one.null is not None]


def assess(
    connection: Connection,
    comparison: Comparison,
    *,
    quiet_days: float,
    interval_seconds: float,
    reports_dir: Path | None,
    champion: ChampionMap,
) -> DriftResult:
    """Compare the current window with its references, and write the reports.

    Args:
        connection: one state of the data; nothing is written.
        comparison: the windows.
        quiet_days: a quiet shop has at most one false alarm in so many days.
        interval_seconds: between two reports.
        reports_dir: where the reports and the workspace are written. None: nowhere.
        champion: the item map, kept between reports.
    """
    gathered, unmapped = gather(connection, comparison, champion)
    skipped = {one.label: one.skipped or "no score" for part in gathered for one in part.found if one.null is None}
    skipped |= unmapped
    for column, why in skipped.items():
        logger.warning("drift: column %s is not tested: %s", column, why)
    tests = sum(len(part.usable) for part in gathered)
    events = gathered[0].events
    result = DriftResult(
        "insufficient",
        f"not enough data: {events[0]:,} and {events[1]:,} events; {next(iter(skipped.values()), '')}",
        comparison.references[0].span,
        comparison.current,
        *events,
        skipped=skipped,
    )
    if not tests:
        logger.warning("drift: %s", result.reason)
        return result
    clicks = count(connection, comparison.current, segments=())[ALL]
    probability = false_alarm_probability(tests, quiet_days=quiet_days, interval_seconds=interval_seconds)
    parts = [(part, *_score(part, probability, clicks, at=result.current.end)) for part in gathered if part.usable]
    result = _with_verdict(result, [row for _, rows, _ in parts for row in rows])
    if reports_dir is None:
        return result
    snapshots: dict[str, Any] = {part.reference.name: snapshot for part, _, snapshot in parts}
    ranking = rank_lists(*gathered[0].ranked, at=comparison.current.end)
    if ranking is not None:
        snapshots["ranking"] = ranking
    return _write(result, snapshots, reports_dir)


def gather(
    connection: Connection, comparison: Comparison, champion: ChampionMap
) -> tuple[list[Gathered], dict[str, str]]:
    """Return what is compared for each reference, and why the item map is missing, if it is."""
    skipped: dict[str, str] = {}
    item_map = None
    try:
        item_map = champion.read(connection)
    except NoItemMap as why:
        skipped["embedding"] = str(why)
    # The end of the window as seed: the same data make the same report.
    rng = np.random.default_rng(comparison.current.end % 2**32)
    return [_gather(connection, comparison, one, item_map, rng) for one in comparison.references], skipped


def _gather(
    connection: Connection,
    comparison: Comparison,
    reference: Reference,
    item_map: ItemMap | None,
    rng: np.random.Generator,
) -> Gathered:
    traffic = read_traffic(connection, reference, comparison.current)
    columns = event_columns(traffic, None if item_map is None else item_map.of(traffic.item_ids))
    found = candidates(traffic, reference, columns, rng=rng)
    lists = read_lists(connection, reference, comparison.current)
    if not len(lists):
        return Gathered(reference, found, traffic.events)
    before = np.concatenate(
        [np.arange(len(lists))[lists.window(reference.windows[k])] for k in reference.same_weekdays()]
    )
    newest = lists.window(reference.windows[max(reference.same_weekdays())])
    return Gathered(
        reference,
        found + candidates(lists, reference, list_columns(lists), rng=rng),
        traffic.events,
        (lists.scores[before], lists.scores[lists.current]) if len(before) else None,
        (read_ranked(connection, lists, newest), read_ranked(connection, lists, lists.current)),
        stored_rate(connection, [reference.windows[k] for k in reference.same_weekdays()]),
    )


def _score(part: Gathered, probability: float, clicks: Counts, *, at: int) -> tuple[list[ColumnDrift], Any]:
    scores, snapshot = score_columns(
        part.usable, probability, clicks=(clicks, part.rate), list_scores=part.scores, at=at
    )
    rows = []
    for one in part.usable:
        assert one.null is not None
        score, sizes = scores[one.label], one.sizes
        rows.append(
            ColumnDrift(
                column=one.label,
                reference=one.reference,
                score=score,
                threshold=one.null.threshold(probability),
                p=one.null.p_value(score),
                drifted=one.drifted(score, probability),
                n_reference=sizes[0],
                n_current=sizes[1],
            )
        )
    return rows, snapshot


def _with_verdict(result: DriftResult, rows: list[ColumnDrift]) -> DriftResult:
    """Return the result with the columns: one column that drifts is a drift."""
    drifted = sorted((row for row in rows if row.drifted), key=lambda row: -row.score / row.threshold)
    reason = f"{len(drifted)} of {len(rows)} columns drifted"
    if drifted:
        reason += ": " + ", ".join(f"{row.column} {row.score:.3f} (from {row.threshold:.3f})" for row in drifted)
    return dataclasses.replace(
        result,
        verdict="drift" if drifted else "stable",
        reason=reason,
        share=len(drifted) / len(rows),
        scores={row.column: row.score for row in rows},
        thresholds={row.column: row.threshold for row in rows},
        drifted=[row.column for row in drifted],
        columns=rows,
    )


def _write(result: DriftResult, snapshots: dict[str, Any], reports_dir: Path) -> DriftResult:
    """Write the files and the workspace; return the result with the paths."""
    paths = {}
    for name, snapshot in snapshots.items():
        part = "" if name == next(iter(snapshots)) else name
        paths[name] = write_report(snapshot, reports_dir, result.current, part=part)
    save_runs(list(snapshots.values()), reports_dir)
    first = next(iter(paths.values()))
    return dataclasses.replace(
        result,
        report_html=str(first[0]),
        report_json=str(first[1]),
        training_html=str(paths["training"][0]) if "training" in paths else None,
        ranking_html=str(paths["ranking"][0]) if "ranking" in paths else None,
    )
