"""Shoppers: the calls about one shopper: attributes, logins, tokens of pages, the export and the erasure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from serving.client.answers import Errand, KnownUser, Taken, Token, plain_json
from serving.client.call import Call, path
from serving.client.told import Login

_read_taken = msgspec.json.Decoder(Taken).decode
_read_user = msgspec.json.Decoder(KnownUser).decode
_read_token = msgspec.json.Decoder(Token).decode
_read_errand = msgspec.json.Decoder(Errand).decode

Attributes = Mapping[str, str | bool | int | float]


def user(user_id: str) -> Call[KnownUser]:
    """What the readers know of a shopper: the items touched last."""
    return Call("GET", path("users", user_id), _read_user)


def put_user(user_id: str, attributes: Attributes, *, event_time: datetime | None = None) -> Call[Taken]:
    """Tell all attributes of a shopper: what is not given is gone. Without a time they hold from now."""
    body = {"attributes": attributes, "event_time": event_time or datetime.now(UTC)}  # one time for all tries
    return Call("PUT", path("users", user_id), _read_taken, body=body)


def identities(logins: Sequence[Login]) -> Call[Taken]:
    """Tell that anonymous visitors have logged in: their events are the users' from now on."""
    return Call("POST", path("identities"), _read_taken, body=logins)


def token(user_id: str) -> Call[Token]:
    """A new token, with which the page of a shopper who has logged in tells what they do."""
    return Call("GET", path("users", user_id, "token"), _read_token)


def ask_export(user_id: str) -> Call[Errand]:
    """Ask for all that is known of a shopper. Needs the operator's key. `export` fetches it by the receipt."""
    return Call("GET", path("users", user_id, "export"), _read_errand)


def export(user_id: str, receipt: str) -> Call[Errand | dict[str, Any]]:
    """The export: its rows by table, or the errand while it is made. Raises `NotFound` when it failed or is gone."""
    return Call("GET", path("users", user_id, "export"), _read_export, query=[("receipt", receipt)])


def forget(user_id: str) -> Call[Errand]:
    """Forget a shopper, everywhere and for ever. Needs the operator's key. `erasure` tells the end by the receipt."""
    return Call("DELETE", path("users", user_id), _read_errand)


def erasure(receipt: str) -> Call[Errand]:
    """What became of an erasure. Raises `NotFound` for an unknown receipt."""
    return Call("GET", path("erasures", receipt), _read_errand)


def _read_export(raw: bytes) -> Errand | dict[str, Any]:
    found = plain_json(raw)
    # No table is called like these fields of an errand.
    return msgspec.convert(found, Errand) if {"receipt", "state"} <= found.keys() else found
