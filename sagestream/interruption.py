"""Ctrl-C and SIGTERM for a long job: asked once, it ends after the batch in hand; asked twice, at once.

Arrives: signals, and the lines that the job reads. Leaves: a job that can say how far it came.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_CODE = 130
"""What a shell gives to a command that Ctrl-C ended."""


class Interruption:
    """While the block runs, `asked` says whether somebody wants it to end. For the main thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._waiting = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether to end."""
        return self._asked.is_set()

    def sleep(self, seconds: float) -> None:
        """Sleep, no longer than until somebody asks."""
        self._asked.wait(seconds)

    def waiting(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines, until somebody asks: also while the next one, typed by somebody, does not come."""
        source = iter(lines)
        while not self.asked:
            try:
                self._waiting = True
                line = next(source, None)
                self._waiting = False
            except KeyboardInterrupt:
                self._waiting = False
                self._asked.set()
                return
            if line is None:
                return
            yield line

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self._waiting or self.asked:
            raise KeyboardInterrupt
        self._asked.set()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
