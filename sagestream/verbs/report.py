"""Report: shows what was shown, clicked, bought and returned, with intervals, and compares spans or segments."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.extras import require
from sagestream.moments import moment_option, shown_time
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json, printable
from sagestream.tables import print_table
from stream.events import milliseconds

if TYPE_CHECKING:
    from monitoring.shop_report import Line, ShopReport
    from training.lifecycle.promotions import Promotion

LONGEST_NAME = 200
SUFFIXES = (".json", ".csv", ".parquet")
By = Literal["slot", "model", "variant", "position", "source", "kind", "day", "hour"]
NOTHING = "–"
WORDLESS = ("share", "lists", "impressions", "shoppers", "orders")
"""Units that the name of the figure says already."""


def report(
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="Hours before --until.")] = 24.0,
    since: Annotated[
        datetime | None, moment_option("--since", help="Begin here instead: a time or an age like 7d.")
    ] = None,
    until: Annotated[datetime | None, moment_option("--until", help="End here; default: now.")] = None,
    by: Annotated[By | None, typer.Option("--by", help="Divide every figure by this.", show_default=False)] = None,
    compare: Annotated[
        str | None,
        typer.Option(help="Differences: `previous` (the span before), or two values of --by: A,B.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write every figure to this .json, .csv or .parquet.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What was shown, clicked, bought and returned, with intervals; the running probation and the newest drift.

    All rates are of people, and those with robots stand beside them.
    """
    from graphstore.session import now_ms, open_existing, read
    from monitoring.shop_report import NoSuchSegments, shop_report
    from monitoring.windows import TimeWindow
    from sagestream.figure_files import write_figures_file
    from sagestream.playground.outcome import newest_drift
    from training.lifecycle.promotions import running_probation

    _check_file(out)
    now = now_ms()
    end = now if until is None else milliseconds(until)
    start = end - int(hours * 3_600_000) if since is None else milliseconds(since)
    if start >= end:
        raise BadParameter("the span ends before it begins", param_hint="--since")
    engine = open_existing(GraphstoreConfig().sqlalchemy_url)
    try:
        with read(engine) as connection:
            found = shop_report(connection, TimeWindow(start, end), by=by, compare=compare, now=now)
            drift = newest_drift(connection, since=start)
            probation = running_probation(connection)
    except NoSuchSegments as error:
        raise BadParameter(str(error), param_hint="--compare") from None
    finally:
        engine.dispose()
    if out is not None:
        with file_errors(out):
            write_figures_file(out, found)
    if as_json:
        echo_json(_json(found) | {"probation": probation and vars(probation), "drift": drift}, allow_nan=False)
        return
    _print(found)
    _print_loop(probation, drift)


def _check_file(out: Path | None) -> None:
    if out is None:
        return
    if out.suffix not in SUFFIXES:
        raise BadParameter(f"{out} ends with none of {', '.join(SUFFIXES)}", param_hint="--out")
    if out.suffix == ".parquet":
        require("pyarrow")


def _json(found: "ShopReport") -> dict[str, Any]:
    examination = found.metrics.examination
    return {
        "since": found.metrics.span.start,
        "until": found.metrics.span.end,
        "ctr": {
            segment: {"impressions": counts.impressions, "clicks": counts.clicks} | _interval(counts.ctr())
            for segment, counts in found.metrics.counts.items()
        },
        "figures": [vars(line) for line in found.figures],
        "compared": found.compared,
        "differences": [vars(line) for line in found.differences],
        "position_bias": examination
        and {"how": examination.how, "clicks": examination.clicks, "examination": examination.share.tolist()},
        "warnings": found.warnings,
    }


def _interval(rate: Any) -> dict[str, float | None]:
    return {"value": rate.value, "low": rate.low, "high": rate.high}


def _print(found: "ShopReport") -> None:
    from monitoring.windows import ALL

    console, span = PlainConsole(), found.metrics.span
    title = f"from {shown_time(span.start)} to {shown_time(span.end)} UTC"
    table = Table("segment", "impressions", "clicks", "CTR", "95 % interval", title=title)
    for name, counts in found.metrics.counts.items():
        rate = counts.ctr()
        shown = _shown("share", rate.value), _between("share", rate.low, rate.high)
        table.add_row(printable(name, LONGEST_NAME), f"{counts.impressions:,}", f"{counts.clicks:,}", *shown)
    print_table(console, table)
    figures = Table("figure", "value", "95 % interval", "n", title="all lists together")
    for line in found.figures:
        if line.segment == ALL and (line.value is not None or line.n):
            unit = _unit(line.unit)
            name = printable(f"{line.metric.replace('_', ' ')}{unit}", LONGEST_NAME)
            shown = _shown(line.unit, line.value), _between(line.unit, line.low, line.high)
            figures.add_row(name, *shown, f"{line.n:,}")
    print_table(console, figures)
    segments = {line.segment for line in found.differences}
    if found.compared:
        print_table(console, _differences(found.differences, found.compared, several=len(segments) > 1))
    for warning in found.warnings:
        console.print(f"careful: {printable(warning, 4 * LONGEST_NAME)}", style="yellow")


def _differences(lines: "Sequence[Line]", compared: str, *, several: bool) -> Table:
    """Return the table of differences; `several`: of more than one segment."""
    columns = ("figure", "first", "second", "difference", "95 % interval")
    table = Table(*(["segment"] if several else []), *columns, title=printable(compared, LONGEST_NAME))
    for line in lines:
        if line.value is not None:
            values = (_shown(line.unit, value) for value in (line.first, line.second, line.value))
            segment = [printable(line.segment, LONGEST_NAME)] if several else []
            name = printable(f"{line.metric.replace('_', ' ')}{_unit(line.unit)}", LONGEST_NAME)
            table.add_row(*segment, name, *values, _between(line.unit, line.low, line.high) or "not known")
    return table


def _print_loop(probation: "Promotion | None", drift: dict[str, Any] | None) -> None:
    if probation is not None:
        said = "; ".join(probation.detail[part] for part in ("plan", "words") if part in probation.detail)
        echo(f"{probation.to_version} is on probation: {said}")
    if drift is None:
        echo("no drift report yet")
        return
    share = None if drift["share"] is None else f"share of columns {drift['share']}"
    echo(f"drift: {', '.join(filter(None, (drift['verdict'], share, drift['reason'])))}")
    if drift["report_html"]:  # too few events make no report
        echo(drift["report_html"])


def _unit(unit: str) -> str:
    return "" if unit in WORDLESS else f" ({unit})"


def _shown(unit: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    if unit == "share":
        return f"{value:.2%}"
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 10_000 else f"{value:,.3f}"


def _between(unit: str, low: float | None, high: float | None) -> str:
    return "" if low is None and high is None else f"{_shown(unit, low)} – {_shown(unit, high)}"
