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
    """Return the panels and their tabs. A panel shows the runs whose metadata name its reference."""
    above = "The score of each column divided by its threshold: above 1 it has drifted; 10 is ten times or more."
    drift = [
        ("Drift from the same days of the weeks before", "trailing"),
        ("Drift since the champion's training", "training"),
    ]
    lists = [
        ("Click-through rate of served lists", "ClickThroughRate", "trailing"),
        ("Spread of the lists' scores (entropy)", "ScoreDistribution", "ranking"),
        ("Personalisation: how different the lists of two shoppers are", "Personalization", "ranking"),
    ]
    return [
        *(
            (line_plot_panel(title, [_line("ShareOfLimit", "{{column}}", part)], description=above), "Drift")
            for title, part in drift
        ),
        *(
            (line_plot_panel(title, [_line(metric, metric, part)], size="half"), "Lists")
            for title, metric, part in lists
        ),
    ]


def _line(metric: str, legend: str, part: str) -> PanelMetric:
    return PanelMetric(metric=metric, legend=legend, metadata={"reference": part})
