"""Retrain: reads a posted request for a new model.

Arrives: the body of a POST. Leaves: an `Asked`. Next: `graphstore.redis.asked` keeps it until the scheduler has it.
"""

import re
from datetime import datetime

import msgspec

from graphstore.redis.asked import MAX_REASON_LENGTH, Asked
from serving.web.answers import Refused
from serving.web.schema import NOT_BLANK
from stream.events import InvalidEvent, decoded, milliseconds

REQUESTED_BY = "api"
WHY = "by HTTP"


_has_text = re.compile(NOT_BLANK).search


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    full: bool = False
    why: str = WHY


_decoder = msgspec.json.Decoder(_Body)


def read_request(body: bytes, *, now: datetime) -> Asked:
    """Return the request in the body, which is a JSON object; empty: all defaults. Raises `Refused`."""
    try:
        found = decoded(body, _decoder) if body.strip() else _Body()
    except InvalidEvent as error:
        raise Refused("", str(error)) from error
    if len(found.why) > MAX_REASON_LENGTH or not _has_text(found.why):
        raise Refused("why", f"a reason has 1 to {MAX_REASON_LENGTH} characters, not only spaces, and no NUL")
    return Asked(requested_by=REQUESTED_BY, reason=found.why, asked_at=milliseconds(now), full=found.full)
