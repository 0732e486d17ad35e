"""Program: what every benchmark that starts services does first, and how it reports progress."""

import logging
import os
import sys

from graphstore.logs import set_up_logging


def begin() -> None:
    """Drop the settings of other services of this shell, and log errors alone: kafka-python logs every slow poll."""
    for name in [name for name in os.environ if name.startswith("SAGESTREAM_")]:
        del os.environ[name]
    set_up_logging(logging.ERROR)


def log_line(line: str) -> None:
    """Print a progress line."""
    print(line, file=sys.stderr, flush=True)


def rounded(value: float | None, digits: int = 0) -> float | int | None:
    """Return the figure with so many digits behind the point, a whole number without; None stays None."""
    if value is None:
        return None
    return round(value, digits) if digits else round(value)
