"""Slot book: the slots that hold now. It follows `slots.toml` without a restart.

Arrives: the setting `slots_file`, and the file whenever it changes. Leaves: a slot for each name. Next: the doors of
`serving.web` look up the slot of a request.

A file that breaks while the process runs changes nothing: the last good slots stay, the log says so once, and `problem`
says so for as long as it lasts (`/readyz`, `sagestream doctor`). A file that is broken at the start stops the start:
then there is no last good one, and the defaults would be a silent guess.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from graphstore.errors import UserError
from serving.config import ServingConfig
from serving.slots.defaults import DEFAULT_SLOTS, PLAIN
from serving.slots.slot import Slot
from serving.slots.slots_file import SlotsFileError, read_slots

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""The file's time is looked at this often."""

MAX_SHOWN = 20
"""A name of a stranger is repeated up to this length."""

_Version = tuple[int, int, int]


class UnknownSlot(UserError):
    """No slot has this name. The message names those that there are."""


class SlotBook:
    """The default slots, the names of the setting `slots`, and over them the slots of the file.

    Threads may share it: a race only reads the file twice. `clock` is monotonic, in seconds. The constructor reads the
    file and raises `SlotsFileError`.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        names: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.problem: str | None = None
        """What is wrong with the file; None while it is as it is served."""
        self._base = {**dict.fromkeys(names, PLAIN), **DEFAULT_SLOTS}
        self._clock = clock
        self._looked_at = clock()
        self._version = None if path is None else _version(path)
        self._slots: Mapping[str, Slot] = self._base if path is None else self._read(path)

    @classmethod
    def open(cls, config: ServingConfig) -> "SlotBook":
        """Return the book of the configuration. Raises `SlotsFileError`."""
        return cls(config.slots_file, names=config.slot_names)

    def current(self) -> Mapping[str, Slot]:
        """Return the slots by name."""
        if self.path is not None:
            now = self._clock()
            if now - self._looked_at >= LOOK_SECONDS:
                self._looked_at = now
                self._follow(self.path)
        return self._slots

    def slot(self, name: str) -> Slot:
        """Return one slot. Raises `UnknownSlot`."""
        slots = self.current()
        if name not in slots:
            raise UnknownSlot(f"no slot {name[:MAX_SHOWN]!r}: there are {', '.join(sorted(slots))}")
        return slots[name]

    def _follow(self, path: Path) -> None:
        version = _version(path)
        if version == self._version:
            return
        try:
            self._slots = self._read(path)
        except SlotsFileError as error:
            problem = "; ".join(error.problems)
            if problem != self.problem:
                logger.error("the slots file %s is not valid, the slots from before stay: %s", path, problem)
            self.problem = problem
        else:
            logger.info("the slots file %s is read: %d slots", path, len(self._slots))
            self.problem = None
        self._version = version

    def _read(self, path: Path) -> Mapping[str, Slot]:
        return {**self._base, **read_slots(path).slots}


def _version(path: Path) -> _Version | None:
    """Return what changes with the file, None when there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
