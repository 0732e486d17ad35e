"""Signing: makes request ids that only this shop's web processes can make, each for one shopper.

Arrives: a user id. Leaves: a request id, and later whether an id that comes back is ours and this shopper's. Next:
`serving.web.views` gives it to the list, `serving.web.seen` checks it when the shop's page says what was seen.

An id is a random part and a keyed hash of it and the shopper (HMAC-SHA256, RFC 2104, cut to 144 bits). So a stranger
can confirm only lists that were really fetched for that shopper, and no process has to remember them. Rejected: a
token besides the request id, because each shop would have to carry two values through its pages.

A token of a shopper is the time of its end with the same hash, under another key. The shop's server puts it into the
page of somebody who has logged in, so that no stranger can tell what that shopper bought.

The key comes from `SAGESTREAM_SECRET_KEY`, else from `SAGESTREAM_API_KEY`, so that all web processes agree. When
neither is set, `serving.web.server` makes one key for each start.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from datetime import datetime
from functools import lru_cache

from django.conf import settings

RANDOM_BYTES = 15
MAC_BYTES = 18
SEPARATOR = "."

SHOPPER_SECONDS = 30 * 24 * 3600
"""How long the token of a shopper holds: as long as a shop keeps somebody logged in."""

REQUESTS = "request ids"
SHOPPERS = "tokens of shoppers"
ADDRESSES = "addresses of readers"


def key_for(purpose: str) -> bytes:
    """Return the key (32 bytes) for a purpose. Keys of two purposes tell nothing about each other."""
    return derived(settings.SERVING.signing_secret or settings.SECRET_KEY, purpose)


@lru_cache(maxsize=16)
def derived(secret: str, purpose: str) -> bytes:
    """Return the key that this secret gives for a purpose, also outside the web process."""
    return hmac.digest(secret.encode(), f"sagestream {purpose}".encode(), hashlib.sha256)


def new_request_id(user_id: str, *, key: bytes) -> str:
    """Return a new request id for a list of this shopper: 45 characters of the URL-safe alphabet."""
    nonce = _text(secrets.token_bytes(RANDOM_BYTES))
    return f"{nonce}{SEPARATOR}{_mac(nonce, user_id, key)}"


def same_request_id(name: str, user_id: str, *, key: bytes) -> str:
    """Return a request id as `new_request_id`, which is the same for each call with this name, and as hard to guess."""
    drawn = hmac.digest(key, f"{name}{SEPARATOR}{user_id}".encode(), hashlib.sha512)
    nonce = _text(drawn[:RANDOM_BYTES])
    return f"{nonce}{SEPARATOR}{_mac(nonce, user_id, key)}"


def fits(request_id: str, user_id: str, *, key: bytes) -> bool:
    """Return whether `new_request_id` made this id for this shopper with this key."""
    nonce, _, mac = request_id.partition(SEPARATOR)
    return hmac.compare_digest(mac.encode(), _mac(nonce, user_id, key).encode())


def shopper_token(user_id: str, *, key: bytes, now: datetime) -> str:
    """Return a token that lets the page of this shopper tell what they do, until `SHOPPER_SECONDS` after `now`."""
    expires = f"{int(now.timestamp()) + SHOPPER_SECONDS}"
    return f"{expires}{SEPARATOR}{_mac(expires, user_id, key)}"


def is_shopper(token: str, user_id: str, *, key: bytes, now: datetime) -> bool:
    """Return whether `shopper_token` made this token for this shopper with this key, and it has not expired."""
    expires = token.partition(SEPARATOR)[0]
    timely = expires.isascii() and expires.isdigit() and len(expires) <= 12 and int(expires) > now.timestamp()
    return fits(token, user_id, key=key) and timely


def _mac(nonce: str, user_id: str, key: bytes) -> str:
    # The separator cannot be in the nonce, so two pairs never give one message.
    return _text(hmac.digest(key, f"{nonce}{SEPARATOR}{user_id}".encode(), hashlib.sha256)[:MAC_BYTES])


def _text(raw: bytes) -> str:
    """Return the bytes, whose number is a multiple of three, as URL-safe base64 without padding."""
    return urlsafe_b64encode(raw).decode()
