"""A JSON file that somebody else wrote: bounded, and an error instead of a traceback.

Arrives: a path. Leaves: what the JSON says. Next: `training.config_file` and `training.benchmark.results_file` make
sense of it.
"""

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, *, max_bytes: int, error: type[ValueError]) -> Any:
    """What the file says. Raises `error` for a larger file and for no JSON, and `OSError` where it cannot be read."""
    with path.open("rb") as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise error(f"{path} is larger than {max_bytes:,} bytes")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as reason:  # UnicodeDecodeError is a ValueError
        raise error(f"{path} is no JSON: {reason}") from reason
