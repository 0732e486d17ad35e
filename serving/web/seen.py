"""Seen: reads what a shop's page says that its shopper has truly seen of a list.

Arrives: the body of a POST, as a browser sends a beacon. Leaves: a `Seen`. Next: `serving.web.outbox` sends it
to Kafka, `stream.worker.app` stores it, and `monitoring` counts these items as shown.
"""

from datetime import datetime
from typing import Annotated

import msgspec

from serving.web import signing
from serving.web.answers import Refused
from serving.web.json_body import read_posted
from serving.web.parameters import MAX_ITEMS
from stream.events import Id, Seen

ListPosition = Annotated[int, msgspec.Meta(ge=0, lt=MAX_ITEMS)]
"""A position in a list of the API, as a page tells it."""


class Look(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message of a page. The server adds the time. No list of the API is longer than the bound on positions."""

    request_id: Id
    user_id: Id
    positions: Annotated[list[ListPosition], msgspec.Meta(min_length=1, max_length=MAX_ITEMS)]


_look = msgspec.json.Decoder(Look)


def read_look(body: bytes, *, key: bytes, now: datetime) -> Seen:
    """Return the event in the body. Raises `Refused` with the field's name.

    The `request_id` must be one that `serving.web.signing` made with this key for this shopper.
    """
    look = read_posted(body, _look)
    if not signing.fits(look.request_id, look.user_id, key=key):
        raise Refused("request_id", "this shopper was served no list with this id")
    return Seen(event_time=now, request_id=look.request_id, user_id=look.user_id, positions=sorted(set(look.positions)))
