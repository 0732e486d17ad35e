"""Experiments: what the arms of each experiment did, and whether their shoppers divide as the shares say.

Arrives: `experiments`, and the reports that the monitor made last (`monitoring.experiments`). Leaves: the page
`experiments`. Next: `monitoring.dashboard.show` writes it.

A report reads every impression of its experiment, so the page shows the monitor's last ones and says of when they are.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from monitoring.dashboard.wording import age, moment, short, window
from monitoring.experiments import Report
from monitoring.windows import TimeWindow
from serving.dashboard.blocks import AnyBlock, Cell, Column, Page, Row, Rows, State, Tile, Tiles, Unit
from serving.experiments import RUNNING, Experiment, list_experiments

MAX_EXPERIMENTS = 20
"""The newest experiments on the page; all running ones are among them."""

STATES: dict[str, State] = {"better": "ok", "worse": "bad", "not clear": "none"}

_COLUMNS: tuple[tuple[str, Unit], ...] = (
    ("arm", "text"),
    ("share", "share"),
    ("shoppers", "count"),
    ("shown", "count"),
    ("clicks", "count"),
    ("purchases", "count"),
    ("clicked: difference", "share"),
    ("clicked: verdict", "text"),
    ("bought: difference", "share"),
    ("bought: verdict", "text"),
)


def compose(connection: Connection, *, now: int, reports: Sequence[Report]) -> Page:
    """Return the page as of `now` (epoch ms). `reports` are the last ones of the running experiments."""
    known = list_experiments(connection)
    order = sorted(known, key=lambda one: (one.status != RUNNING, -one.started_at))[:MAX_EXPERIMENTS]
    by_name = {report.name: report.told() for report in reports}
    at = f"at {moment(now)} UTC"
    running = sum(one.status == RUNNING for one in known)
    blocks: list[AnyBlock] = [
        Tiles(
            title="Now",
            tiles=[
                Tile(label="Running experiments", value=float(running), unit="count", window=at),
                Tile(label="Ended experiments", value=float(len(known) - running), unit="count", window=at),
            ],
        )
    ]
    for experiment in order:
        blocks += _blocks(experiment, by_name.get(experiment.name) or experiment.outcome, now)
    if not order:
        blocks.append(
            Rows(
                title="Experiments",
                columns=[Column(name="experiment")],
                rows=[],
                empty="No experiment was started yet.",
            )
        )
    return Page(name="experiments", title="Experiments", made_at=now, blocks=blocks)


def _blocks(experiment: Experiment, report: Mapping[str, Any], now: int) -> list[AnyBlock]:
    end = report.get("end") or experiment.stopped_at or now
    span = window(TimeWindow(experiment.started_at, max(end, experiment.started_at)))
    arms = {arm["name"]: arm for arm in report.get("arms", [])}
    control = arms.get(experiment.arms[0].name, {})
    rows = [
        _row(arm.name, arm.share, arms.get(arm.name), None if number == 0 else control)
        for number, arm in enumerate(experiment.arms)
    ]
    return [
        Rows(
            title=f"{experiment.name} ({experiment.status})",
            note=_note(experiment, report, now),
            columns=[Column(name=name, unit=unit) for name, unit in _COLUMNS],
            rows=rows,
            window=span,
        )
    ]


def _row(name: str, share: float, arm: Mapping[str, Any] | None, control: Mapping[str, Any] | None) -> Row:
    """Return the row of an arm. `control` is what the control did; None: the arm is the control.

    An arm that showed nothing, or whose control showed nothing, has no difference: it is not 0.
    """
    label = f"{name} (control)" if control is None else name
    if arm is None:
        return Row(cells=[label, share, *[None] * (len(_COLUMNS) - 2)])
    cells: list[Cell | str | float | None] = [label, share]
    cells += [float(arm[count]) for count in ("shoppers", "items", "clicks", "purchases")]
    for rate in ("ctr", "conversion"):
        found = arm["differences"].get(rate)
        if control is None or found is None or not arm["items"] or not control.get("items"):
            cells += [None, "" if control is None else "nothing to compare yet"]
            continue
        cells.append(Cell(value=found["difference"], low=found["low"], high=found["high"]))
        cells.append(Cell(value=found["verdict"], state=STATES.get(found["verdict"], "none")))
    return Row(cells=cells)


def _note(experiment: Experiment, report: Mapping[str, Any], now: int) -> str:
    parts = [short(experiment.why, 200)] if experiment.why else []
    parts.append(f"Slot: {experiment.slot or 'all'}; started by {experiment.who}.")
    if not report:
        parts.append("Not measured yet: the monitor reports with the next drift report.")
        return " ".join(parts)
    if experiment.status == RUNNING:
        parts.append(f"Measured {age(now - report['end'])} ago.")
    parts.append("Differences from the control, with 95 % intervals that are valid at every look.")
    if report.get("sample_ratio_fault"):
        parts.append(
            f"The shoppers do not divide as the shares say (p = {report['sample_ratio_p']:.2g}): trust no figure of it."
        )
    return " ".join(parts)
