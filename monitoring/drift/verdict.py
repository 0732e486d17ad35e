"""Verdict: the result of the drift test, without Evidently, so that the monitor's process stays small."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from monitoring.windows import ALL, Figure, TimeWindow

METRIC = "drift"


@dataclass(frozen=True)
class ColumnDrift:
    """What was found of one column. `p` is how often a quiet shop scores as much; above `threshold` it has drifted."""

    column: str
    reference: str
    score: float
    threshold: float
    p: float
    drifted: bool
    n_reference: int
    n_current: int


@dataclass(frozen=True)
class DriftResult:
    """The comparison of the current window with its references.

    `share` is the share of tested columns that drifted; it is None if there is not enough data. One drifted column is a
    drift. `scores` and `thresholds` hold the PSI of each tested column and the score from which it has drifted.
    `skipped` holds the reason for each column that was not tested. The paths are those of Evidently's reports.
    """

    verdict: Literal["drift", "stable", "insufficient"]
    reason: str
    reference: TimeWindow
    current: TimeWindow
    reference_events: int
    current_events: int
    share: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    columns: list[ColumnDrift] = field(default_factory=list)
    report_html: str | None = None
    report_json: str | None = None
    training_html: str | None = None
    ranking_html: str | None = None

    def figure(self) -> Figure:
        """Return the row of `metric_windows`."""
        detail = asdict(self)
        del detail["current"], detail["share"]
        return Figure(METRIC, ALL, self.current, self.share, detail=detail)
