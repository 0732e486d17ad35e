"""Interruption: Ctrl-C or SIGTERM ends a long job after the current batch; a second signal ends it at once.

Arrives: signals, and the lines that the job reads. Leaves: a flag that asks the job to end and to report its progress.
"""

import signal
import threading
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_CODE = 130
"""The exit code that a shell gives to a command ended by Ctrl-C."""


class Interruption:
    """A context manager that handles the signals; `asked` is True after the first one. Only for the main thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._waiting = False
        self._before: dict[int, Any] = {}

    @property
    def asked(self) -> bool:
        """Whether the job should end."""
        return self._asked.is_set()

    def sleep(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a signal arrives."""
        self._asked.wait(seconds)

    def waiting(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the lines until a signal arrives, even while it waits for the next line (from a keyboard)."""
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
