"""What the playground remembers between two starts, in one small JSON file of its state directory."""

import shutil
from pathlib import Path

import msgspec

from graphstore.errors import UserError
from graphstore.files import written_whole
from sagestream.playground import address_file

FILE = "playground.json"
LOCK = "playground.lock"


class StateMismatch(UserError):
    """The directory belongs to something else; the message says how to start over."""


class StateInUse(UserError):
    """Another playground runs on the directory."""


class PlaygroundState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which data is in, and how far the future has been replayed (rows of the data set)."""

    dataset: str
    sample: int | None
    min_item_users: int
    seed: int
    split_row: int
    shift_ms: int
    """By how much the past was moved in time; chosen once, also where an import is taken up again."""
    next_row: int
    imported: bool

    def check(self, dataset: str, sample: int | None, min_item_users: int, seed: int) -> None:
        """Raises `StateMismatch` where another data set is asked for than is in."""
        held = (self.dataset, self.sample, self.min_item_users, self.seed)
        asked = (dataset, sample, min_item_users, seed)
        if held != asked:
            raise StateMismatch(
                f"the state directory holds {_described(*held)}, not {_described(*asked)}: "
                "start over with --fresh, or take another --state-dir"
            )


def _described(dataset: str, sample: int | None, min_item_users: int, seed: int) -> str:
    return f"{dataset} (sample {sample}, items of {min_item_users} shoppers, seed {seed})"


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
    with written_whole(directory / FILE) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))


KNOWN_ENTRIES = frozenset(
    [FILE, LOCK, "broker", "redis", "snapshots", "models", "logs", "reports", "worker", "scheduler.lock"]
    + [address_file.FILE, "checkpoints", "tuning", "pictures"]
    + [f"{name}.db{suffix}" for name in ("graph", "scheduler") for suffix in ("", "-wal", "-shm", "-journal")]
)
"""What Sagestream makes in a state directory; `remove` refuses a directory that holds anything else."""


def remove(directory: Path) -> None:
    """Start over: delete the state directory. Raises `StateMismatch` where it holds files that are not ours."""
    if not directory.exists():
        return
    unfinished = tuple(f".{name}." for name in (FILE, address_file.FILE))  # of a save that was killed
    foreign = sorted(
        entry.name
        for entry in directory.iterdir()
        if entry.name not in KNOWN_ENTRIES and not entry.name.startswith(unfinished)
    )
    if foreign:
        raise StateMismatch(f"{directory} holds {', '.join(foreign[:3])}, which is not Sagestream's: not deleted")
    shutil.rmtree(directory)
