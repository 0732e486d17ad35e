"""Tokens: signed words that open the dashboard: the cookie of a login, and the link that a playground prints.

Arrives: the operator's key. Leaves: expiry, nonce and signature in one word; the signature is an HMAC (SHA-256) over
purpose, expiry and nonce. Next: `serving.web.dashboard.access` takes it. The signing key comes from the operator's key,
so several web processes agree without a store, and a new operator's key ends all sessions. Rejected: Django's signer,
which reads the clock itself and signs with the secret key, which is new at each start when it is not set.
"""

import hashlib
import hmac
import re
import secrets
from typing import Literal

from serving.config import ServingConfig

Purpose = Literal["session", "link"]

SESSION_SECONDS = 12 * 3600
"""A login lasts a working day."""
LINK_SECONDS = 3600
"""A link works once, and for this time: a playground prints it before the shop is built up."""

_TOKEN = re.compile(r"([0-9]{1,15})\.([A-Za-z0-9_-]{16,64})\.([0-9a-f]{64})")


def signing_key(admin_key: str, secret_key: str = "") -> bytes:
    """Return the key that signs tokens. Whoever has no `admin_key` cannot make one."""
    return hmac.digest(admin_key.encode(), b"sagestream dashboard\0" + secret_key.encode(), hashlib.sha256)


def signing_key_of(config: ServingConfig) -> bytes:
    """Return the key that signs the tokens of this configuration: of the first operator's key, if there is one.

    To take that key away ends all sessions.
    """
    secret = config.secret_key
    return signing_key(next(iter(config.keys_of("admin")), ""), secret.get_secret_value() if secret else "")


def new_token(key: bytes, purpose: Purpose, *, now: int, seconds: int) -> str:
    """Return a token that ends `seconds` after `now` (epoch ms)."""
    expires, nonce = now // 1000 + seconds, secrets.token_urlsafe(18)
    return f"{expires}.{nonce}.{_signature(key, purpose, str(expires), nonce)}"


def link(key: bytes, *, now: int) -> str:
    """Return the path that opens the dashboard once. The token stands behind the #, so no server gets it in a URL."""
    return f"/dashboard/enter/#{new_token(key, 'link', now=now, seconds=LINK_SECONDS)}"


def nonce_of(key: bytes, purpose: Purpose, token: str, *, now: int) -> str | None:
    """Return the nonce of a token that is valid at `now` (epoch ms); None for every other text."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    expires, nonce, signature = found.groups()
    if not hmac.compare_digest(signature, _signature(key, purpose, expires, nonce)):
        return None
    return nonce if now < int(expires) * 1000 else None


def _signature(key: bytes, purpose: Purpose, expires: str, nonce: str) -> str:
    return hmac.new(key, f"{purpose}\0{expires}\0{nonce}".encode(), hashlib.sha256).hexdigest()
