"""Readiness: asks the probe of a process what it says of itself.

Arrives: the address of a probe (`stream.config.StreamConfig.probe_addresses`). Leaves: a `Readiness`. Next:
`sagestream doctor`, the dashboard.

Rejected for the dashboard: a key in Redis that each process renews. A new duty of each process would say less than the
probe says already, and all processes would look dead while Redis is away.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Literal

from stream.config import LOOPBACK
from stream.probe import OK

MAX_BODY_BYTES = 65_536
MAX_WORD = 200
"""Characters of an answer that is no JSON object."""


@dataclass(frozen=True)
class Readiness:
    """The answer of one process."""

    process: str
    host: str
    port: int
    state: Literal["ready", "not ready", "away", "unknown"]
    """`away`: nobody listens there, or nobody answers in time. `unknown`: the port is not known."""
    words: dict[str, str] = field(default_factory=dict)
    """What the process says, by need; empty for an answer that is no JSON object."""
    said: str = ""
    """The problem, in words: of a process that is not ready, or not there."""

    @property
    def address(self) -> str:
        """Host and port, on this machine the port alone."""
        return f"port {self.port}" if self.host == LOOPBACK else f"{self.host}:{self.port}"


def ask_process(process: str, host: str, port: int, *, timeout_seconds: float) -> Readiness:
    """Ask `/readyz` once. A process that does not answer is a finding, not an error."""
    if not port:
        return Readiness(process, host, port, "unknown", said="SAGESTREAM_PROBE_PORT is 0: it may be on any port")
    url = f"http://{host}:{port}/readyz"
    try:
        with urllib.request.urlopen(url, timeout=timeout_seconds) as answer:
            words = _words(answer.read(MAX_BODY_BYTES))
            return Readiness(process, host, port, "ready", words)
    except urllib.error.HTTPError as error:
        with error:
            body = error.read(MAX_BODY_BYTES)
        words = _words(body)
        wrong = ", ".join(f"{need}: {word}" for need, word in words.items() if word != OK)
        said = wrong if words else body.decode(errors="replace")[:MAX_WORD]
        return Readiness(process, host, port, "not ready", words, said)
    except (http.client.HTTPException, OSError, ValueError) as error:
        why = getattr(error, "reason", error)
        refused = isinstance(why, ConnectionRefusedError)
        said = f"nobody answers: `sagestream {process}` does not run" if refused else str(why)
        return Readiness(process, host, port, "away", said=said)


def _words(body: bytes) -> dict[str, str]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return {str(need): str(word) for need, word in found.items()} if isinstance(found, dict) else {}
