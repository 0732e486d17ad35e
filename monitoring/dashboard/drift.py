"""Drift: each column's score against its threshold, over the last reports, with links to Evidently's reports.

Arrives: the figures of metric `drift`. Leaves: the page `drift`. Next: `monitoring.dashboard.show` writes it.
"""

from pathlib import PurePath
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from graphstore.tables import metric_windows
from monitoring.dashboard.wording import window
from monitoring.drift.verdict import METRIC
from monitoring.windows import ALL, TimeWindow
from serving.dashboard.blocks import AnyBlock, Cell, Chart, Column, Line, Page, Point, Row, Rows, State, Tile, Tiles

REPORTS = 48
"""The newest reports on the page."""

REPORT_URL = "/dashboard/reports/"

MORE_REPORTS = {"training_html": "against the champion's training", "ranking_html": "recommendations"}
"""Further files of one report, by their name in its detail."""

STATES: dict[str, State] = {"stable": "ok", "drift": "bad", "insufficient": "none"}

Detail = dict[str, Any]

_decode = msgspec.json.Decoder(Detail).decode


def read_reports(connection: Connection, *, newest: int = REPORTS) -> list[tuple[TimeWindow, Detail]]:
    """Return the window and the detail of the newest reports, newest first."""
    table = metric_windows.c
    query = select(table.window_start, table.window_end, table.detail)
    found = query.where(table.metric == METRIC, table.segment == ALL).order_by(table.window_start.desc()).limit(newest)
    return [(TimeWindow(start, end), _decode(detail)) for start, end, detail in connection.execute(found)]


def compose(connection: Connection, *, now: int) -> Page:
    """Return the page as of `now` (epoch ms)."""
    reports = read_reports(connection)
    blocks: list[AnyBlock] = [_newest(reports), _columns(reports), _over_time(reports), _list(reports)]
    return Page(name="drift", title="Drift", made_at=now, blocks=blocks)


def _newest(reports: list[tuple[TimeWindow, Detail]]) -> Tiles:
    title = "Newest report"
    if not reports:
        nothing = "no report yet: the first comes with the first events"
        return Tiles(title=title, tiles=[Tile(label="Verdict", value=None, note=nothing)])
    span, detail = reports[0]
    verdict = str(detail.get("verdict", ""))
    tested, drifted = len(detail.get("scores", {})), len(set(detail.get("drifted", [])))
    return Tiles(
        title=title,
        tiles=[
            Tile(
                label="Verdict",
                value=verdict,
                state=STATES.get(verdict, "none"),
                n=detail.get("current_events"),
                n_of="events",
                window=window(span),
                note=str(detail.get("reason", "")),
                href=_link(detail),
            ),
            Tile(
                label="Columns that drifted",
                value=float(drifted) if tested else None,
                unit="count",
                n=tested,
                n_of="columns tested",
                window=window(span),
                note="" if tested else "no column had enough data",
            ),
        ],
    )


def _columns(reports: list[tuple[TimeWindow, Detail]]) -> Rows:
    span, detail = reports[0] if reports else (None, {})
    rows = [
        Row(
            cells=[
                str(column["column"]),
                Cell(value=column["score"], state="bad" if column["drifted"] else "ok"),
                column.get("threshold"),
                column.get("p"),
                column.get("n_reference"),
                column.get("n_current"),
                "drifted" if column["drifted"] else "as before",
                str(column.get("reference", "")),
            ]
        )
        for column in sorted(_tested(detail), key=lambda column: (-(_ratio(column) or 0.0), str(column["column"])))
    ]
    empty = [None] * 5
    rows += [
        Row(cells=[str(column), *empty, "not tested", str(why)])
        for column, why in sorted(detail.get("skipped", {}).items())
    ]
    return Rows(
        title="Columns",
        note="The score says how far the newest traffic is from the traffic before it. Above its threshold, which is "
        "what the shop's own quiet days make unlikely, a column has drifted.",
        columns=[
            Column(name="column"),
            Column(name="score", unit="number"),
            Column(name="threshold", unit="number"),
            Column(name="p", unit="number", note="how often a quiet shop scores as much"),
            Column(name="values before", unit="count"),
            Column(name="values in it", unit="count"),
            Column(name="verdict"),
            Column(name="compared with, or why not"),
        ],
        rows=rows,
        window="" if span is None else window(span),
        empty="No column was tested yet.",
    )


def _tested(detail: Detail) -> list[Detail]:
    """Return what a report says of each tested column; a report of an older version has scores alone."""
    columns: list[Detail] = detail.get("columns") or []
    drifted, scores = set(detail.get("drifted", [])), detail.get("scores", {})
    return columns or [{"column": name, "score": score, "drifted": name in drifted} for name, score in scores.items()]


def _ratio(column: Detail) -> float | None:
    threshold = column.get("threshold")
    return column["score"] / threshold if threshold else None


def _over_time(reports: list[tuple[TimeWindow, Detail]]) -> Chart:
    """A line for each column: its score divided by its threshold, so that 1 is the bound of every column."""
    points: dict[str, list[Point]] = {}
    for span, detail in reversed(reports):
        worst: dict[str, float] = {}
        for column in _tested(detail):
            ratio, name = _ratio(column), str(column["column"])
            if ratio is not None:
                worst[name] = max(ratio, worst.get(name, ratio))
        for name, ratio in worst.items():
            points.setdefault(name, []).append(Point(span.end, ratio))
    whole = TimeWindow(reports[-1][0].start, reports[0][0].end) if reports else None
    return Chart(
        title="Score as a share of the threshold",
        note="Above 1 the column has drifted." if points else "No column was tested yet.",
        unit="number",
        lines=[Line(name=column, points=line) for column, line in sorted(points.items())],
        window="" if whole is None else window(whole),
        n=len(reports),
        n_of="reports",
    )


def _list(reports: list[tuple[TimeWindow, Detail]]) -> Rows:
    rows = [
        Row(
            cells=[
                Cell(value=window(span), href=_link(detail)),
                *[Cell(value="open" if _link(detail, name) else "", href=_link(detail, name)) for name in MORE_REPORTS],
                Cell(value=str(detail.get("verdict", "")), state=STATES.get(str(detail.get("verdict")), "none")),
                detail.get("reference_events"),
                detail.get("current_events"),
                str(detail.get("reason", "")),
            ]
        )
        for span, detail in reports
    ]
    return Rows(
        title="Reports",
        note="A link leads to Evidently's report while its file is kept.",
        columns=[
            Column(name="window"),
            *[Column(name=title) for title in MORE_REPORTS.values()],
            Column(name="verdict"),
            Column(name="events before", unit="count"),
            Column(name="events in it", unit="count"),
            Column(name="reason"),
        ],
        rows=rows,
        window=f"the newest {len(rows)} reports" if rows else "",
        empty="No report yet.",
    )


def _link(detail: Detail, name: str = "report_html") -> str:
    """Return where the web process shows the report, or nothing. The name alone: the directory is no business of it."""
    path = detail.get(name)
    return f"{REPORT_URL}{PurePath(str(path)).name}" if path else ""
