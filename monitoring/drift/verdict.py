"""Verdict: the result of the drift test, without Evidently, so that the monitor's process stays small."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from monitoring.windows import ALL, Figure, TimeWindow

METRIC = "drift"


@dataclass(frozen=True)
class DriftResult:
    """The comparison of the current window with the reference window.

    `share` is the share of tested columns whose score reached the threshold; it is None if there is not enough data.
    `scores` holds the PSI of each tested column. `skipped` holds the reason for each column that was not tested.
    """

    verdict: Literal["drift", "stable", "insufficient"]
    reason: str
    reference: TimeWindow
    current: TimeWindow
    reference_events: int
    current_events: int
    share: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    drifted: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    report_html: str | None = None
    report_json: str | None = None

    def figure(self) -> Figure:
        """Return the row of `metric_windows`."""
        detail = asdict(self)
        del detail["current"], detail["share"]
        return Figure(METRIC, ALL, self.current, self.share, detail=detail)
