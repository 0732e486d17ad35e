"""Options: what the command line asks of a playground."""

from dataclasses import dataclass, field
from pathlib import Path

from sagestream.datasets import TableWords
from sagestream.playground.services import Given


@dataclass(frozen=True)
class Options:
    """Options of the command line. `sample` is a number of shoppers, None for all."""

    state_dir: Path
    dataset: str
    sample: int | None
    min_item_users: int
    rate: float
    seed: int
    port: int
    fresh: bool = False
    once: bool = False
    words: TableWords = field(default_factory=TableWords)
    """What is said about the columns of a data set that is a file."""
    given: Given = field(default_factory=Given)
