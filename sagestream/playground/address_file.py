"""The services of a running playground, in a file of its state directory, which the verbs take their defaults from.

Arrives: the settings that reach its services. Leaves: `services.json`, for its owner alone, while the playground runs.
Next: `sagestream.cli` reads it before any configuration is read, so that a verb started in the same directory finds
what runs there. What the environment says itself always counts more.
"""

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import msgspec

from graphstore.config import PREFIX
from graphstore.files import written_whole

FILE = "services.json"

SAME_START_SECONDS = 60.0
"""Within it two start times are of one process: the clock that they are told by may have been set meanwhile."""


class RunningPlayground(msgspec.Struct, frozen=True):
    """What the file holds. Id and start time (epoch seconds) name the process."""

    process_id: int
    started: float
    settings: dict[str, str]

    @property
    def alive(self) -> bool:
        """Whether the process still runs, and is no later one of the same number."""
        import psutil  # here: most verbs run without a playground

        try:
            process = psutil.Process(self.process_id)
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and abs(process.create_time() - self.started) < SAME_START_SECONDS
        except psutil.NoSuchProcess:
            return False


def write(directory: Path, settings: Mapping[str, str]) -> None:
    """Tell where the services of this process are, whole, in a file that only its owner reads."""
    import psutil

    told = RunningPlayground(os.getpid(), psutil.Process().create_time(), dict(settings))
    with written_whole(directory / FILE) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(told)))


def remove(directory: Path) -> None:
    """The services are about to end."""
    (directory / FILE).unlink(missing_ok=True)


def read(directory: Path) -> RunningPlayground | None:
    """What the file of the directory tells; None where there is none that can be read."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=RunningPlayground)
    except (OSError, msgspec.MsgspecError):  # not ours, or of another version: as if nothing ran
        return None


def adopt(directory: Path, environment: MutableMapping[str, str]) -> str | None:
    """Let `environment` name the services of the playground that runs on `directory`; what to say of it, if anything.

    A variable that is set stays as it is, and is named where the playground has another value.
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
