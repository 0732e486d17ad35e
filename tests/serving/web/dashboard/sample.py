"""Sample pages: every kind of block, as the monitor writes them, and a thousand days of three lines."""

import math

from serving.dashboard.blocks import (
    Action,
    AnyBlock,
    Cell,
    Chart,
    Column,
    Funnel,
    Line,
    Mark,
    Page,
    Point,
    Row,
    Rows,
    Step,
    Tile,
    Tiles,
)

DAY_MS = 86_400_000
HOSTILE = '<script>alert("x")</script>'


def days(count: int, base: float, *, now: int) -> list[Point]:
    """A rate of each day with its interval; every 50th day was not measured."""
    points = []
    for day in range(count):
        at, value = now - (count - day) * DAY_MS, base * (1 + 0.2 * math.sin(day / 40))
        measured = day % 50 != 49
        points.append(Point(at, value, value * 0.95, value * 1.05, 1000 + day) if measured else Point(at, None))
    return points


def traffic(count: int, *, now: int) -> Page:
    """Three lines over days, with marks of each kind."""
    marks = [
        Mark(at=now - 300 * DAY_MS, kind="promotion", label="m2 replaced m1"),
        Mark(at=now - 299 * DAY_MS, kind="rollback", label=HOSTILE),
        Mark(at=now - 100 * DAY_MS, kind="alarm", label="tracking outage"),
        Mark(at=now + DAY_MS, kind="retrain", label="after the end"),
    ]
    lines = [
        Line(name=name, points=days(count, base, now=now)) for name, base in (("all", 0.04), ("a", 0.05), ("b", 0.03))
    ]
    chart = Chart(
        title="CTR by day",
        unit="share",
        lines=lines,
        marks=marks,
        window=f"{count} days",
        n=1_000_000,
        n_of="impressions",
    )
    return Page(name="traffic", title="Traffic", made_at=now, blocks=[chart])


def overview(*, now: int, value: float | None = 0.0425) -> Page:
    """Each other kind of block."""
    blocks: list[AnyBlock] = [
        Tiles(
            title="Today",
            tiles=[
                Tile(
                    label="CTR", value=value, unit="share", low=0.041, high=0.044, n=12_345, n_of="impressions",
                    window="the last day", change="+0.3 points", state="ok", href="/dashboard/traffic/",
                ),
                Tile(label="Conversion", value=None, unit="share", note="nothing was sold"),
                Tile(label="Elsewhere", value="m1", href="https://elsewhere.example/"),
            ],
        ),
        Funnel(title="Funnel", steps=[Step(name="shown", count=1000), Step(name="clicked", count=40)], window="a day"),
        Chart(
            title="Positions", form="bars", unit="share", labels=["1", HOSTILE],
            lines=[Line(name="all", points=[Point(0, 0.08, 0.07, 0.09, 500), Point(1, None)])],
        ),
        Rows(
            title="Dead letters",
            columns=[Column(name="reason"), Column(name="letters", unit="count"), Column(name="newest", unit="time")],
            rows=[
                Row(
                    cells=[Cell(value=HOSTILE, state="bad"), 12.0, float(now)],
                    actions=[Action(errand="dlq_replay", subject="interactions a & b", label="Replay")],
                )
            ],
        ),
        Rows(title="Runs", columns=[], rows=[], empty="no run yet"),
    ]  # fmt: skip
    return Page(name="overview", title="Overview", made_at=now, blocks=blocks, warnings=["the worker is behind"])
