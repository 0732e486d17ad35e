"""Address file: stores the addresses of a running playground's services, as defaults for the verbs.

Arrives: the settings that reach the services. Leaves: `services.json` in the state directory, readable only by its
owner, while the playground runs. Next: `sagestream.cli` reads the file before any configuration. So a verb in the same
directory finds the running services. A variable that is set in the environment always wins.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import msgspec

from graphstore.config import PREFIX
from graphstore.files import written_whole

FILE = "services.json"

SAME_START_SECONDS = 60.0
"""Two start times that differ by less belong to one process, because the system clock may have been set between."""


class RunningPlayground(msgspec.Struct, frozen=True):
    """The content of the file. The process id and the start time (epoch seconds) identify the process."""

    process_id: int
    started: float
    settings: dict[str, str]

    @property
    def alive(self) -> bool:
        """Whether the process still runs, and is not a later process with the same id."""
        import psutil  # imported here, because most verbs run without a playground

        try:
            process = psutil.Process(self.process_id)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and abs(process.create_time() - self.started) < SAME_START_SECONDS
        except psutil.NoSuchProcess:
            return False


def write(directory: Path, settings: Mapping[str, str]) -> None:
    """Write the addresses of this process' services. The write is atomic, and only the owner can read the file."""
    import psutil

    told = RunningPlayground(os.getpid(), psutil.Process().create_time(), dict(settings))
    with written_whole(directory / FILE) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(told)))


def remove(directory: Path) -> None:
    """Delete the file, before the services end."""
    (directory / FILE).unlink(missing_ok=True)


def read(directory: Path) -> RunningPlayground | None:
    """Return the content of the directory's file, or None without a readable file."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=RunningPlayground)
    except (OSError, msgspec.MsgspecError):  # another program's file, or another version: treat it as no playground
        return None


def adopt(directory: Path, environment: MutableMapping[str, str]) -> str | None:
    """Add the addresses of the playground in `directory` to `environment`. Return a message for the user, if any.

    A variable that is already set keeps its value. The message names it when the playground has another value.
    """
    found = read(directory)
    if found is None:
        return None
    if not found.alive:
        return f"the playground in {directory} (process {found.process_id}) no longer runs"
    given = {f"{PREFIX}{name.upper()}": value for name, value in found.settings.items()}
    taken = {name: value for name, value in given.items() if name not in environment}
    other = [name for name, value in given.items() if environment.get(name, value) != value]
    environment.update(taken)
    if not taken:
        return None
    kept = f"; as set in the environment: {', '.join(other)}" if other else ""
    return f"services of the playground in {directory} (process {found.process_id}){kept}"
