"""Data sets by name: the packaged one, or a file. Imported by the command line, so the readers load when asked."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stream.sources.table import EventTable

COMPLETE_JOURNEY = "complete-journey"


class UnknownDataset(ValueError):
    """Neither a known name nor a file."""


def read_dataset(name: str, *, sample: int | None, min_item_users: int, seed: int) -> "EventTable":
    """`complete-journey`, or the path of a CSV or TSV file; `sample` shoppers of it, None for all.

    Raises `UnknownDataset`, `stream.sources.files.UnreadableFile`, and `ImportError` where the package with the data
    is not installed.
    """
    if name == COMPLETE_JOURNEY:
        from stream.sources import complete_journey

        return complete_journey.read(users=sample, min_item_users=min_item_users, seed=seed)
    path = Path(name)
    if not path.is_file():
        raise UnknownDataset(f"{name} is neither {COMPLETE_JOURNEY} nor a file")
    from stream.sources import tabular

    return tabular.read(path, users=sample, min_item_users=min_item_users, seed=seed)
