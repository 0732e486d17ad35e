"""Times on the command line: a date with a time, or an age.

Arrives: the text of an option, or a time of the database. Leaves: a time with a zone or a usage error; the time as
text.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import typer

from sagestream.printable import BadParameter
from stream.events import utc

_AGE = re.compile(r"(\d{1,6}(?:\.\d+)?)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_moment(text: str, now: datetime) -> datetime:
    """Parse a time in ISO 8601 (UTC if it has no zone), or an age before `now`: 90s, 30m, 2h, 7d.

    Raises `ValueError`.
    """
    if age := _AGE.fullmatch(text.strip()):
        try:
            return now - timedelta(**{_UNITS[age[2]]: float(age[1])})
        except OverflowError:
            raise ValueError(f"{text} is before all time") from None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is neither a time like 2026-01-31T12:00 nor an age like 2h") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def moment_option(*names: str, help: str) -> Any:
    """Return an option that takes a time or an age."""

    def parse(text: str) -> datetime:
        try:
            return parse_moment(text, datetime.now(UTC))
        except ValueError as error:
            raise BadParameter(str(error)) from None

    return typer.Option(*names, parser=parse, metavar="TIME", help=help)


def shown_time(epoch_ms: int | None) -> str:
    """Return a time (epoch ms) as text in UTC, and nothing for None."""
    return "" if epoch_ms is None else utc(epoch_ms).strftime("%Y-%m-%d %H:%M:%S")
