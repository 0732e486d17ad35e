"""One table in many written forms: the same events, whatever the separator, encoding, times, prices and headers."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.events import utc
from stream.sources.options import Layout, SourceOptions
from stream.sources.tabular import read

BEGIN = 1_400_000_000
ZONE = ZoneInfo("Europe/Berlin")

HEADERS = {
    "user": ("user_id", "customer_id", "CustomerID", "visitorid"),
    "item": ("item_id", "sku", "StockCode", "article_id"),
    "time": ("timestamp", "created_at", "InvoiceDate", "t_dat"),
    "price": ("price", "UnitPrice", "item_price"),
    "quantity": ("quantity", "Qty"),
}


TIMES = ("s", "ms", "us", "ns", "iso", "offset", "gmt", "local", "day first", "month first", "compact")


@dataclass(frozen=True)
class Form:
    """How a table is written."""

    headers: dict[str, str]
    separator: str
    quoting: int
    encoding: str
    time: str
    decimal: str
    sign: str


forms = st.builds(
    Form,
    headers=st.fixed_dictionaries({meaning: st.sampled_from(names) for meaning, names in HEADERS.items()}),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "cp1252"]),
    time=st.sampled_from(
        ["s", "ms", "us", "ns", "iso", "offset", "gmt", "local", "day first", "month first", "compact"]
    ),
    decimal=st.sampled_from([".", ","]),
    sign=st.sampled_from(["", "$", " EUR"]),
)
rows = st.lists(
    st.tuples(
        st.sampled_from(["ann", "Zoë", "12", "a b"]),
        st.sampled_from(["tea", "käse", "7"]),
        st.integers(0, 10**8),
        st.integers(1, 2_000_000),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=6,
)


def written_time(seconds: int, form: str) -> str:
    moment = utc(seconds * 1000)
    units = {"s": "", "ms": "000", "us": "000000", "ns": "000000000"}
    if form in units:
        return f"{seconds}{units[form]}"
    east = moment.astimezone(timezone(timedelta(hours=5, minutes=30)))
    return {
        "iso": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "offset": east.strftime("%Y-%m-%d %H:%M:%S+05:30"),
        "gmt": east.strftime("%a %b %d %Y %H:%M:%S GMT+0530 (India Standard Time)"),
        "local": moment.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S"),
        "day first": moment.strftime("%d/%m/%Y %H:%M:%S"),
        "month first": moment.strftime("%m/%d/%Y %H:%M:%S"),
        "compact": moment.strftime("%Y%m%d%H%M%S"),
    }[form]


def written_price(cents: int, form: Form) -> str:
    thousands = "," if form.decimal == "." else "."
    amount = f"{cents // 100:,}".replace(",", thousands) + f"{form.decimal}{cents % 100:02}"
    return f"$ {amount}" if form.sign == "$" else f"{amount}{form.sign}"


def unambiguous(seconds: int) -> int:
    """The hour that a clock change repeats is the first one, so times avoid the second one."""
    moment = utc(seconds * 1000).astimezone(ZONE)
    return seconds - 3600 if moment.fold else seconds


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(form=forms, table=rows)
def test_the_same_events_come_out_of_every_form(tmp_path: Path, form: Form, table: list[Any]) -> None:
    table = [(user, item, unambiguous(BEGIN + time), cents, pieces) for user, item, time, cents, pieces in table]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=form.separator, quoting=form.quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    writer.writerow([*(form.headers[meaning] for meaning in HEADERS), "note"])
    for user, item, time, cents, pieces in table:
        writer.writerow([user, item, written_time(time, form.time), written_price(cents, form), pieces, "x"])
    path = tmp_path / "table.csv"
    path.write_bytes(file.getvalue().encode(form.encoding))
    layout = Layout() if form.encoding.startswith("utf-8") else Layout(encoding=form.encoding)
    zone = ZONE if form.time in ("local", "iso", "offset", "gmt", "s") else UTC
    options = SourceOptions(layout=layout, day_first=form.time == "day first", zone=zone, times_needed=True)
    found = read(path, options)
    assert found.rejected == {}
    assert sorted(
        (event.user_id, event.item_id, event.event_time, event.value, event.quantity, event.event_type.value)
        for event in found.events()
    ) == sorted(
        (user, item, datetime.fromtimestamp(time, UTC), cents / 100, pieces, "purchase")
        for user, item, time, cents, pieces in table
    )
