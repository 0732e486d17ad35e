"""Webhook: one delivery of an alarm to a URL of the operator, signed.

Arrives: an alarm. Leaves: a POST with a JSON body and a signature. Next: whatever the operator runs; docs/operations.md
has an example of a receiver.

The signature is `Sagestream-Signature: t=1764400000,v1=…`: the hexadecimal HMAC-SHA256, by the secret, over the time, a
dot and the body. A receiver refuses a wrong signature and an old time. The same alarm may come twice, after a crash or
a lost answer: its `id` is the same then. Source: the scheme of Stripe's webhooks, and RFC 2104.
"""

import hashlib
import hmac
import http.client
import json
import socket
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from graphstore.errors import reason
from monitoring.alarms.lasting import Alarm

SIGNATURE = "Sagestream-Signature"
TIMEOUT_SECONDS = 5.0
"""For the connection and for each step of the answer."""
TOTAL_SECONDS = 15.0
"""For the whole delivery. A receiver that sends its answer byte by byte is cut off."""


class NotDelivered(Exception):
    """The receiver could not be reached, or did not answer with success. The message names no part of the URL."""


@dataclass(frozen=True)
class Webhook:
    """Where alarms go. The URL may hold a token in its path, so it is never printed."""

    url: str
    secret: str

    def deliver(self, alarm: Alarm, *, now: int) -> None:
        """Post the alarm once. `now` is epoch ms. Raises `NotDelivered`. Redirects are not followed."""
        body = body_of(alarm)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sagestream",
            SIGNATURE: signature(self.secret, body, seconds=now // 1000),
        }
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(str(parts.hostname), parts.port, timeout=TIMEOUT_SECONDS)
        cut = threading.Timer(TOTAL_SECONDS, _cut_off, [connection])
        cut.daemon = True
        cut.start()
        try:
            path = parts.path or "/"
            connection.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(f"the webhook cannot be reached: {reason(error)}") from error
        finally:
            cut.cancel()
            connection.close()
        if not 200 <= status < 300:
            raise NotDelivered(f"the webhook answered with {status}")


def body_of(alarm: Alarm) -> bytes:
    """Return the JSON of an alarm."""
    state = "started" if alarm.ended_at is None else "ended"
    told = {
        "id": f"{alarm.name}-{alarm.started_at}-{state}",
        "alarm": alarm.name,
        "state": state,
        "text": alarm.text,
        "started_at": _time(alarm.started_at),
        "ended_at": None if alarm.ended_at is None else _time(alarm.ended_at),
        "figures": dict(alarm.figures),
    }
    return json.dumps(told, sort_keys=True).encode()


def signature(secret: str, body: bytes, *, seconds: int) -> str:
    """Return the value of the header for a body that is sent at `seconds` (epoch)."""
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut_off(connection: http.client.HTTPConnection) -> None:
    if (open_socket := connection.sock) is not None:
        try:
            open_socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it was closed at the same moment
