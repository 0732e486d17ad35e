"""A source: files of known forms, read block by block or as a whole.

Arrives: the parts that `stream.sources.tabular` and `stream.sources.datasets` have recognised. Leaves: a stream of
events in bounded memory, or an `EventTable` when a sample needs all rows. Next: `stream.replay` stores or sends the
events.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stream.events import CatalogItem, Identity, Interaction, UserAttributes
from stream.sources.files.compressed import UnreadableFile, listed
from stream.sources.formats.columns import LATEST_MS
from stream.sources.rejections import Rejections
from stream.sources.table import COLUMNS, EventTable, interactions, sample_users
from stream.sources.understood import Understood

Found = pd.DataFrame | Sequence[CatalogItem | UserAttributes | Identity]
"""The result of a block: interactions as rows of `COLUMNS` and what the file knows of `ORDER_COLUMNS`, or items and
what is known of users."""


class UnknownForm(UnreadableFile):
    """No form of the source fits the file. The message names the columns of the file."""


@dataclass
class Reading:
    """One pass over a source. `share` of the current part is read; `latest_ms` limits times; `stop` ends the pass
    early."""

    rejections: Rejections = field(default_factory=Rejections)
    latest_ms: int = LATEST_MS
    stop: Callable[[], bool] = lambda: False
    share: float = 0.0
    understood: dict[str, Understood] = field(default_factory=dict)
    """What was found in the tables, by file."""


@dataclass(frozen=True)
class Part:
    """One file of a known form. `blocks` reads it and raises `UnreadableFile` when it cannot continue."""

    path: Path | None
    """None: the data come from an installed package."""
    form: str
    blocks: Callable[[Reading], Iterator[Found]]
    understood: str = ""
    """What its columns were taken for, in words, when the file does not have the form of a published one."""
    look: Callable[[], str] = lambda: ""
    """Returns in words how the beginning writes times. Raises `NotUnderstood` when what decides is not known."""

    @property
    def name(self) -> str:
        """The name for messages."""
        return "the package" if self.path is None else str(self.path)

    @property
    def size(self) -> int:
        """The size in bytes on disk."""
        return 1 if self.path is None else max(self.path.stat().st_size, 1)


@dataclass
class Source:
    """Files that are read one after the other."""

    parts: Sequence[Part]
    passed_over: Sequence[Path] = ()
    """Files in the given directories whose form the source does not know."""
    unreadable: Sequence[tuple[Path, str]] = ()
    """Files in these directories that could not be read, with the reason."""
    _done: float = 0.0
    _current: float = 0.0

    def share(self, reading: Reading) -> float:
        """Return the share of all bytes (0..1) that is read."""
        return min(self._done + self._current * reading.share, 1.0)

    def blocks(self, reading: Reading) -> Iterator[Found]:
        """Yield all blocks in the order of the files. Raises `UnreadableFile` after the blocks before the damage."""
        sizes = [part.size for part in self.parts]
        self._done = 0.0
        for part, size in zip(self.parts, sizes, strict=True):
            self._current, reading.share = size / sum(sizes), 0.0
            for found in part.blocks(reading):
                yield found
                if reading.stop():
                    return
            self._done, self._current = self._done + self._current, 0.0

    def events(self, reading: Reading) -> Iterator[CatalogItem | UserAttributes | Identity | Interaction]:
        """Yield the blocks as events."""
        for found in self.blocks(reading):
            yield from interactions(found) if isinstance(found, pd.DataFrame) else found

    def read(self, reading: Reading, *, users: int | None = None, min_item_users: int = 1, seed: int = 0) -> EventTable:
        """Read all into memory, sorted by time: `users` random users (None: all), items with `min_item_users` of
        them."""
        frames: list[pd.DataFrame] = []
        items: list[CatalogItem] = []
        for found in self.blocks(reading):
            if isinstance(found, pd.DataFrame):
                frames.append(found)
            else:  # a sample is of interactions: what is known of users is not in it
                items.extend(known for known in found if isinstance(known, CatalogItem))
        table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: [] for name in COLUMNS})
        once = table.drop_duplicates("event_id")  # a file may repeat the events that it names
        if len(once) < len(table):
            reading.rejections.counts["the same event again"] += len(table) - len(once)
            table = once.reset_index(drop=True)
        table = sample_users(table, users, min_item_users=min_item_users, seed=seed)
        table = table.sort_values("event_time", kind="stable", ignore_index=True)
        return EventTable(table, items, dict(reading.rejections.counts))


MAX_TOLD = 5

Together = Callable[[Path], tuple[list[Part], list[Path]] | None]


def recognised(
    paths: Iterable[Path], recognise: Callable[[Path], Part], *, together: Together = lambda folder: None
) -> Source:
    """Make a source of these files and of the files in these folders.

    In a folder, files of unknown form are passed over, and unreadable files are kept with their reason.

    Args:
        paths: files and folders.
        recognise: makes a part of a file; raises `UnknownForm` or `UnreadableFile`.
        together: makes parts of a folder whose files belong together, or returns None.

    Raises:
        UnreadableFile: `recognise` refuses a given file, or no file is recognised.
    """
    parts: list[Part] = []
    passed_over: list[Path] = []
    unreadable: list[tuple[Path, str]] = []
    for path in paths:
        if not path.is_dir():
            parts.append(recognise(path))
            continue
        found = together(path)
        if found is not None:
            parts.extend(found[0])
            passed_over.extend(found[1])
            continue
        for file in sorted(path.iterdir()):
            if not file.is_file() or file.name.startswith("."):
                continue
            try:
                parts.append(recognise(file))
            except UnknownForm:
                passed_over.append(file)
            except UnreadableFile as error:
                unreadable.append((file, str(error).removeprefix(f"{file}: ")))
    if not parts:
        names = listed([str(path) for path in paths])
        reasons = "".join(f"; {file.name}: {reason}" for file, reason in unreadable[:MAX_TOLD])
        raise UnreadableFile(f"{names or 'no file named'}: there is no file in a form that this source knows{reasons}")
    return Source(parts, passed_over, unreadable)
