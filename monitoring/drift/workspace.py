"""Workspace: the reports as an Evidently workspace, with the course of the scores over time.

Arrives: Evidently's snapshots. Leaves: `reports/workspace` in the state directory: a project with panels. Next:
`sagestream monitor ui` shows it in a browser, without a network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evidently.sdk.models import DashboardPanelPlot, PanelMetric
from evidently.sdk.panels import line_plot_panel
from evidently.ui.workspace import Workspace

PROJECT = "Sagestream"
ABOUT = "Drift of the traffic, click-through and ranking, one report for each look of the monitor."
DIRECTORY = "workspace"
RUNS_KEPT = 500
"""Snapshots that stay: about three weeks of hourly reports. A snapshot takes about 100 kB."""


def save_runs(snapshots: Sequence[Any], reports_dir: Path, *, kept: int = RUNS_KEPT) -> None:
    """Add the snapshots to the workspace, and remove all but the newest `kept`, by their own time."""
    workspace = Workspace.create(str(reports_dir / DIRECTORY))
    project = _project(workspace)
    for snapshot in snapshots:
        workspace.add_run(project.id, snapshot)
    runs = project_files(reports_dir / DIRECTORY, str(project.id))
    for path in sorted(runs, key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)[kept:]:
        workspace.delete_run(project.id, path.stem)


def project_files(workspace: Path, project_id: str) -> list[Path]:
    """Return the files of a project's snapshots."""
    return list((workspace / project_id / "snapshots").glob("*.json"))


def _project(workspace: Workspace) -> Any:
    """Return the project; it is made with its panels if it is not there."""
    for project in workspace.list_projects():
        if project.name == PROJECT:
            return project
    project = workspace.create_project(PROJECT, description=ABOUT)
    for panel, tab in _panels():
        project.dashboard.add_panel(panel, tab=tab)
    return project


def _panels() -> list[tuple[DashboardPanelPlot, str]]:
    drift = [
        ("Drift of each column from the weeks before", "trailing"),
        ("Drift of each column since the champion's training", "training"),
    ]
    panels = [
        (
            line_plot_panel(
                title,
                [PanelMetric(metric="ValueDrift", legend="{{column}}", metadata={"reference": reference})],
                description="PSI. Each report says from which score a column has drifted.",
            ),
            "Drift",
        )
        for title, reference in drift
    ]
    shares = PanelMetric(
        metric="DriftedColumnsCount", metric_labels={"value_type": "count"}, legend="columns", view_params={}
    )
    rate = PanelMetric(metric="ClickThroughRate", legend="click-through rate")
    return [
        *panels,
        (line_plot_panel("Columns that have drifted", [shares], size="half"), "Drift"),
        (line_plot_panel("Click-through rate of served lists", [rate], size="half"), "Lists"),
        (line_plot_panel("Spread of the lists' scores", [PanelMetric(metric="ScoreDistribution")], size="half"), "Lists"),
        (line_plot_panel("Personalisation of the lists", [PanelMetric(metric="Personalization")], size="half"), "Lists"),
    ]
