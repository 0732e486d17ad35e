"""The drift test's verdict, light enough for the steady process: nothing of Evidently is imported here."""

from dataclasses import asdict, dataclass, field
from typing import Literal

from monitoring.windows import ALL, Figure, TimeWindow

METRIC = "drift"


@dataclass(frozen=True)
class DriftResult:
    """What comparing the current window with the reference gave.

    `share` is that of the tested columns whose score reached the threshold, None where there is no verdict; `scores`
    holds each tested column's PSI; `skipped` says why a column was not tested.
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
        """The row of `metric_windows`."""
        detail = asdict(self)
        del detail["current"], detail["share"]
        return Figure(METRIC, ALL, self.current, self.share, detail=detail)
