"""Line source: read events from the lines of a file; count rejected lines and report them on standard error.

Arrives: a file name, or `-`. Leaves: events. Next: `stream.replay`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sagestream.interruption import Interruption
from sagestream.printable import echo, printable
from stream.events import Interaction
from stream.sources.files.event_lines import Lines, interactions, open_lines
from stream.sources.files.message_lines import messages
from stream.sources.shapes.registry import SHAPES
from stream.sources.shapes.shape import Translated

SHOWN_REASON = 300


class LineSource:
    """The events of an open file, until its end or an interruption."""

    def __init__(self, lines: Lines, interruption: Interruption) -> None:
        self.rejected = 0
        """The number of rejected lines so far."""
        self._lines = lines
        self._interruption = interruption

    @property
    def share(self) -> float:
        """The share (0..1) of the file that is read; 0 if it is unknown."""
        return self._lines.share

    def interactions(self) -> Iterator[Interaction]:
        """Yield the valid events. Raises `stream.sources.files.event_lines.UnreadableLines`."""
        lines = self._interruption.waiting(self._lines)
        yield from interactions(lines, now=lambda: datetime.now(UTC), refuse=self._refuse)

    def translated(self, shape: str) -> Iterator[Translated]:
        """Yield the events that the messages of a shape mean. Raises the errors of `interactions`."""
        lines = self._interruption.waiting(self._lines)
        yield from messages(lines, SHAPES[shape], now=lambda: datetime.now(UTC), refuse=self._refuse)

    def _refuse(self, number: int, reason: str) -> None:
        self.rejected += 1
        echo(f"line {number}: {printable(reason, SHOWN_REASON)}", err=True)


@contextmanager
def open_source(name: str, interruption: Interruption) -> Iterator[LineSource]:
    """Open the file, or standard input for `-`. Raises `graphstore.errors.UnusableFile`."""
    with open_lines(name) as lines:
        yield LineSource(lines, interruption)
