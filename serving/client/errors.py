"""Errors of the client: one class for each thing that a shop can do about it.

Arrives: a status with its body, or an exception of the network. Leaves: an error with the server's own reason. Next:
`serving.client.retry` says which of them are tried again.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from serving.client.answers import Problem, RefusedPart

_read_problem = msgspec.json.Decoder(Problem).decode
_LONGEST_SHOWN = 200


class SagestreamError(Exception):
    """Base of the client's errors. `status` is that of the answer, None without one."""

    def __init__(self, detail: str, *, status: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status


class Refused(SagestreamError):
    """The server refuses the request as it is (4xx)."""


class BadRequest(Refused):
    """400: `field` names what is wrong. Of events or items, `refused` has the reason for each one that was sent."""

    def __init__(self, detail: str, *, field: str = "", refused: Sequence[RefusedPart] = ()) -> None:
        super().__init__(detail, status=400)
        self.field = field
        self.refused = refused


class KeyRefused(Refused):
    """401 or 403: the key is wrong, or the server has no key for this door."""


class NotFound(Refused):
    """404: there is no such item, receipt or path."""


class Temporary(SagestreamError):
    """It may go well later. `retry_after` is the server's own word in seconds, None without one.

    `untouched` says that the server has certainly done nothing of it.
    """

    def __init__(
        self, detail: str, *, status: int | None = None, retry_after: float | None = None, untouched: bool = False
    ) -> None:
        super().__init__(detail, status=status)
        self.retry_after = retry_after
        self.untouched = untouched


class TooManyRequests(Temporary):
    """429: too many requests from this address. A key of writers has no such bound."""


class Unavailable(Temporary):
    """503, no connection, or no answer in time."""


class ServerError(SagestreamError):
    """500: a mistake of the server; its log has it."""


class UnexpectedAnswer(SagestreamError):
    """The answer is none of the API: a page of a proxy, or another server."""


def error_of(status: int, headers: Mapping[str, str], body: bytes, *, now: datetime) -> SagestreamError:
    """Return the error for an answer with a status of 300 or more."""
    try:
        problem = _read_problem(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = Problem(detail=f"{status}: {body[:_LONGEST_SHOWN].decode(errors='replace')}")
    if status == 400:
        first = problem.refused[0] if problem.refused else RefusedPart(index=0, field=problem.field, reason="")
        return BadRequest(problem.detail or first.reason, field=first.field, refused=problem.refused)
    if status in (401, 403):
        return KeyRefused(problem.detail, status=status)
    if status == 404:
        return NotFound(problem.detail, status=status)
    if status in (429, 503):
        kind = TooManyRequests if status == 429 else Unavailable
        wait = retry_after(headers.get("retry-after"), now=now)
        return kind(problem.detail, status=status, retry_after=wait, untouched=True)
    if status in (408, 502, 504):  # of the gateway between, which does not know whether the server has it
        return Unavailable(problem.detail, status=status, retry_after=retry_after(headers.get("retry-after"), now=now))
    if 400 <= status < 500:
        return Refused(problem.detail, status=status)
    return ServerError(problem.detail, status=status) if status >= 500 else UnexpectedAnswer(f"an answer {status}")


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Return the seconds that the header says, as a number or a date (RFC 9110); None for anything else."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        time = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((time if time.tzinfo else time.replace(tzinfo=UTC)) - now).total_seconds())
