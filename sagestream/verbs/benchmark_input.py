"""Benchmark input: reads what a benchmark judges on, says what it found, and splits it.

Arrives: files as the command line names them. Leaves: the split of each seed, and the catalogue. Next:
`sagestream.verbs.benchmark` fits the models on it.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sagestream.datasets import TableWords
from sagestream.printable import BadParameter
from sagestream.stages import Stages

if TYPE_CHECKING:
    from stream.events import CatalogItem
    from stream.sources.source import Reading
    from stream.sources.table import EventTable
    from training.data.offline import OfflineDataset
    from training.data.split_draws import SplitDraws

Split = Literal["temporal", "leave-last-out", "given"]


def read_table(name: str, words: TableWords, reading: "Reading", stages: Stages) -> "EventTable":
    """Read a table of events, or complete-journey. Says what was understood. Raises `BadParameter`."""
    from sagestream.datasets import COMPLETE_JOURNEY, UnfitWords, read_dataset

    if name == COMPLETE_JOURNEY:
        words = replace(words, no_times=False)
    try:
        table = read_dataset(name, sample=None, min_item_users=1, seed=0, words=words, reading=reading)
    except UnfitWords as error:
        raise BadParameter(str(error), param_hint="--interactions") from error
    _tell_understood(stages, reading, Path(name))
    return table


def divided_table(
    table: "EventTable",
    items: Path | None,
    reading: "Reading",
    *,
    split: Split,
    repeats: bool,
    min_item_users: int,
    max_users: int | None,
    stages: Stages,
) -> "tuple[SplitDraws, OfflineDataset]":
    """Split a table of events in time or at each shopper's last event. Says what is left out, and how ties stand."""
    from training.data import splits
    from training.data.offline import OfflineDataset
    from training.data.split_draws import SplitDraws

    _tell(stages, table.rejected, "rows")
    catalogue = table.items
    if items is not None:
        catalogue = _read_items(items, reading, stages)
    found = OfflineDataset.from_table(table, catalogue, min_item_users=min_item_users, max_users=max_users)
    _tell(stages, found.left_out, "events")
    _tell_featureless(stages, items, found)
    if split == "temporal":
        return SplitDraws.fixed(splits.temporal(found.log, repeats=repeats)), found
    draws = SplitDraws.leave_last_out(found.log, repeats=repeats)
    if draws.ties is not None:
        stages.say(draws.ties.sentence())
    return draws, found


def given_files(
    train: Path, test: Path, items: Path | None, reading: "Reading", stages: Stages
) -> "tuple[SplitDraws, OfflineDataset]":
    """Read two files with a given split. Says what is left out."""
    from training.data import splits
    from training.data.offline import OfflineDataset, catalogue_of, read_given
    from training.data.split_draws import SplitDraws

    logs = read_given(train, test)
    _tell(stages, logs.left_out, "lines")
    catalogue = None
    if items is not None:
        catalogue = catalogue_of(logs.item_ids, _read_items(items, reading, stages))
    found = OfflineDataset(logs.train, logs.user_ids, logs.item_ids, catalogue)
    _tell_featureless(stages, items, found)
    return SplitDraws.fixed(splits.given(logs.train, logs.test, timed=False)), found


def _read_items(items: Path, reading: "Reading", stages: Stages) -> "list[CatalogItem]":
    from stream.sources.opening import read_catalogue

    known, rejected = read_catalogue(items, reading)
    _tell_understood(stages, reading, items)
    _tell(stages, rejected, "rows of items")
    return known


def _tell_understood(stages: Stages, reading: "Reading", file: Path) -> None:
    if (understood := reading.understood.get(str(file))) is not None:  # complete-journey is no file
        for line in understood.lines():
            stages.say(f"{file}: {line}")


def _tell(stages: Stages, left_out: dict[str, int], what: str) -> None:
    for reason, count in left_out.items():
        if count:
            stages.say(f"left out: {count:,} {what}, {reason}")


def _tell_featureless(stages: Stages, items: Path | None, found: "OfflineDataset") -> None:
    if found.catalogue is not None:
        return
    if items is None:  # a table of events may hold titles too, but only --items reads them
        stages.say("no features of items: --items names a file of titles, categories, brands or prices")
    else:
        said = f"{items} holds none of the items that shoppers touched: there are no features"
        stages.say((said, "yellow"))
