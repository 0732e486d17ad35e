"""Program: what the benchmarks that start services do alike: begin, report progress, and end."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphstore.errors import UserError
from graphstore.logs import set_up_logging

FAILURES = (RuntimeError, TimeoutError, UserError, subprocess.CalledProcessError)
"""What services, processes and measurements raise when a part cannot go on."""


def begin() -> None:
    """Drop the settings of other services of this shell, and log errors alone: kafka-python logs every slow poll."""
    for name in [name for name in os.environ if name.startswith("SAGESTREAM_")]:
        del os.environ[name]
    set_up_logging(logging.ERROR)


def log_line(line: str) -> None:
    """Print a progress line."""
    print(line, file=sys.stderr, flush=True)


def reported(
    measure: Callable[[], None],
    as_json: Callable[[], dict[str, Any]],
    as_markdown: Callable[[dict[str, Any]], str],
    output: Path,
) -> int:
    """Measure, write the figures so far whatever happens, and print the table. Return 0, or 1 when a part failed."""
    status = 0
    try:
        measure()
    except FAILURES as error:
        log_line(f"failed: {error}")
        status = 1
    finally:
        found = as_json()
        output.write_text(json.dumps(found, indent=1) + "\n")
    print(as_markdown(found))
    return status


def rounded(value: float | None, digits: int = 0) -> float | int | None:
    """Return the figure with so many digits behind the point, a whole number without; None stays None."""
    if value is None:
        return None
    return round(value, digits) if digits else round(value)
