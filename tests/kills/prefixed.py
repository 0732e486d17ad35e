"""The worker under test on topics of its own, for a broker that others use too.

Nothing of the product but `stream.events` is imported before the names are changed: other modules copy them.
"""

from collections.abc import Mapping
from pathlib import Path

from stream import events
from tests.kills.points import Fault


def main(environment: Mapping[str, str], log: Path, fault: Fault | None, prefix: str) -> None:
    """As `tests.kills.worker.main`, with `prefix` before the name of every topic."""
    for name, value in vars(events).items():
        if name.isupper() and isinstance(value, str):
            setattr(events, name, prefix + value)
    from tests.kills import worker

    worker.main(environment, log, fault)
