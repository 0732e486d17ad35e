"""What the playground remembers between two starts, in one small JSON file of its state directory."""

import shutil
from pathlib import Path

import msgspec

FILE = "playground.json"


class StateMismatch(RuntimeError):
    """The directory belongs to something else; the message says how to start over."""


class PlaygroundState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which data is in, and how far the future has been replayed (rows of the data set)."""

    dataset: str
    sample: int | None
    seed: int
    split_row: int
    next_row: int

    def check(self, dataset: str, sample: int | None, seed: int) -> None:
        """Raises `StateMismatch` where another data set is asked for than is in."""
        if (self.dataset, self.sample, self.seed) != (dataset, sample, seed):
            raise StateMismatch(
                f"the state directory holds {self.dataset} (sample {self.sample}, seed {self.seed}), "
                f"not {dataset} (sample {sample}, seed {seed}): start over with --fresh, or take another --state-dir"
            )


def load(directory: Path) -> PlaygroundState | None:
    """The state, None where nothing was imported yet. Raises `StateMismatch` for a file of another form."""
    path = directory / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PlaygroundState)
    except msgspec.MsgspecError as error:
        raise StateMismatch(f"{path} cannot be read ({error}): start over with --fresh") from error


def save(directory: Path, state: PlaygroundState) -> None:
    """Write it whole: a kill leaves the old file or the new one."""
    path = directory / FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    temporary.replace(path)


KNOWN_ENTRIES = {FILE, "broker", "redis", "snapshots", "models", "logs", "reports", "worker", "scheduler.lock"} | {
    f"{name}.db{suffix}" for name in ("graph", "scheduler") for suffix in ("", "-wal", "-shm")
}
"""What Sagestream makes in a state directory; `remove` refuses a directory that holds anything else."""


def remove(directory: Path) -> None:
    """Start over: delete the state directory. Raises `StateMismatch` where it holds files that are not ours."""
    if not directory.exists():
        return
    foreign = sorted(entry.name for entry in directory.iterdir() if entry.name not in KNOWN_ENTRIES)
    if foreign:
        raise StateMismatch(f"{directory} holds {', '.join(foreign[:3])}, which is not Sagestream's: not deleted")
    shutil.rmtree(directory)
