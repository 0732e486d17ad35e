"""wrk: asks a web server for random shoppers' lists, as fast as it answers or with pauses.

Arrives: a port and a path. Leaves: a `Load`. Next: `benchmarks.serving`.

wrk has no fixed rate. With pauses of exponential length on each of many connections, requests come nearly as from
independent shoppers, and the mean pause sets the rate. wrk measures a latency from the end of the pause, and adds
samples for the requests that a slow answer kept from being sent.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "wrk.lua"
MISSING = "wrk was not found: install it (Debian: apt-get install wrk)"
TIMEOUT_SECONDS = 10


class WrkMissing(RuntimeError):
    """The program is not installed."""


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers, seconds, errors (wrong statuses and broken connections), and latencies in ms."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def find_wrk() -> str:
    """Return the path of the program. Raises `WrkMissing`."""
    program = shutil.which("wrk")
    if program is None:
        raise WrkMissing(MISSING)
    return program


def run_wrk(port: int, query: str, *, shoppers: int, seconds: float, connections: int, pause_ms: float = 0.0) -> Load:
    """Ask for `/recommendations/u<number>/<query>` for `seconds`. Raises `WrkMissing` or `RuntimeError`."""
    command = [
        find_wrk(),
        "--threads",
        "1",
        "--connections",
        str(connections),
        "--duration",
        f"{max(1, round(seconds))}s",
    ]
    command += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), f"http://127.0.0.1:{port}/", "--"]
    command += [str(shoppers), query, str(pause_ms)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    return Load(**json.loads(done.stdout.splitlines()[-1]))
