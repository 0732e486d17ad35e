"""A file of interactions as the verbs read it: refused lines are told on standard error, and counted.

Arrives: a file's name, or `-`. Leaves: events. Next: `stream.replay`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import typer

from sagestream.interruption import Interruption
from sagestream.printable import printable
from stream.events import Interaction
from stream.sources.files.event_lines import Lines, interactions, open_lines

SHOWN_REASON = 300


class LineSource:
    """The events of an open file, until it ends or `interruption` is asked."""

    def __init__(self, lines: Lines, interruption: Interruption) -> None:
        self.rejected = 0
        """Lines so far that are no events."""
        self._lines = lines
        self._interruption = interruption

    @property
    def share(self) -> float:
        """How much of the file (0..1) is read; 0 where nobody knows."""
        return self._lines.share

    def interactions(self) -> Iterator[Interaction]:
        """The events among the lines. Raises `stream.sources.files.event_lines.UnreadableLines`."""
        lines = self._interruption.waiting(self._lines)
        yield from interactions(lines, now=lambda: datetime.now(UTC), refuse=self._refuse)

    def _refuse(self, number: int, reason: str) -> None:
        self.rejected += 1
        typer.echo(f"line {number}: {printable(reason, SHOWN_REASON)}", err=True)


@contextmanager
def open_source(name: str, interruption: Interruption) -> Iterator[LineSource]:
    """The file of that name, or standard input for `-`. Raises `graphstore.errors.UnusableFile`."""
    with open_lines(name) as lines:
        yield LineSource(lines, interruption)
