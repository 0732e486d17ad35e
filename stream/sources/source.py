"""A source: files of known forms, read block by block or whole.

Arrives: the parts that `stream.sources.tabular` and the modules of the published data sets have recognised. Leaves:
events as they come, in memory that does not grow with the files; or an `EventTable`, where a sample needs all rows.
Next: `stream.replay` stores or sends the events.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from stream.events import CatalogItem, Interaction
from stream.sources.files.compressed import UnreadableFile, listed
from stream.sources.formats.columns import LATEST_MS
from stream.sources.rejections import Rejections
from stream.sources.table import COLUMNS, EventTable, interactions, sample_users

Found = pd.DataFrame | list[CatalogItem]
"""What a block gave: interactions as rows of `COLUMNS`, or items."""


class UnknownForm(UnreadableFile):
    """No form of the source fits the file; the message names what the file has."""


@dataclass
class Reading:
    """One pass over a source: `share` of the part in hand is read; `latest_ms` bounds times, `stop` ends it early."""

    rejections: Rejections = field(default_factory=Rejections)
    latest_ms: int = LATEST_MS
    stop: Callable[[], bool] = lambda: False
    share: float = 0.0


@dataclass(frozen=True)
class Part:
    """One file in a form that is known; `blocks` reads it, and raises `UnreadableFile` where it cannot be read on."""

    path: Path | None
    """None: a package."""
    form: str
    blocks: Callable[[Reading], Iterator[Found]]

    @property
    def name(self) -> str:
        """For messages."""
        return "the package" if self.path is None else str(self.path)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return 1 if self.path is None else max(self.path.stat().st_size, 1)


@dataclass
class Source:
    """Files that are read one after another."""

    parts: Sequence[Part]
    passed_over: Sequence[Path] = ()
    """Files of the directories that were named which are in no form that the source knows."""
    unreadable: Sequence[tuple[Path, str]] = ()
    """Files of these directories that could not be looked at, each with the reason."""
    _done: float = 0.0
    _current: float = 0.0

    def share(self, reading: Reading) -> float:
        """How much of all bytes (0..1) is read."""
        return min(self._done + self._current * reading.share, 1.0)

    def blocks(self, reading: Reading) -> Iterator[Found]:
        """Everything in the order of the files. Raises `UnreadableFile`; what came before it was given."""
        sizes = [part.size for part in self.parts]
        self._done = 0.0
        for part, size in zip(self.parts, sizes, strict=True):
            self._current, reading.share = size / sum(sizes), 0.0
            for found in part.blocks(reading):
                yield found
                if reading.stop():
                    return
            self._done, self._current = self._done + self._current, 0.0

    def events(self, reading: Reading) -> Iterator[CatalogItem | Interaction]:
        """The same as events."""
        for found in self.blocks(reading):
            yield from found if isinstance(found, list) else interactions(found)

    def read(self, reading: Reading, *, users: int | None = None, min_item_users: int = 1, seed: int = 0) -> EventTable:
        """All of it in memory, sorted by time: of `users` shoppers (None: all), items that enough of them touched."""
        frames: list[pd.DataFrame] = []
        items: list[CatalogItem] = []
        for found in self.blocks(reading):
            if isinstance(found, list):
                items.extend(found)
            else:
                frames.append(found)
        table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame({name: [] for name in COLUMNS})
        table = sample_users(table, users, min_item_users=min_item_users, seed=seed)
        table = table.sort_values("event_time", kind="stable", ignore_index=True)
        return EventTable(table, items, dict(reading.rejections.counts))


MAX_TOLD = 5

Together = Callable[[Path], tuple[list[Part], list[Path]] | None]


def recognised(
    paths: Iterable[Path], recognise: Callable[[Path], Part], *, together: Together = lambda folder: None
) -> Source:
    """The source that these files, and the files in these folders, are.

    Raises `UnreadableFile` for a file that `recognise` refuses, and where there is none that it takes; of a folder,
    what is in no known form is passed over, and what cannot be read is kept with its reason. `together` takes a folder
    whose files only mean something side by side.
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
