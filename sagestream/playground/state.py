"""State: stores the progress of a playground between two starts, as a JSON file in its state directory."""

import shutil
from pathlib import Path

import msgspec

from graphstore.errors import UserError
from graphstore.files import written_whole
from sagestream.playground import address_file, sample_slots

FILE = "playground.json"
LOCK = "playground.lock"


class StateMismatch(UserError):
    """The directory holds other data. The message states how to start over."""


class StateInUse(UserError):
    """Another playground uses the directory."""


class PlaygroundState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The imported data set and the replay position. `split_row` and `next_row` are rows of the data set."""

    dataset: str
    sample: int | None
    min_item_users: int
    seed: int
    split_row: int
    shift_ms: int
    """The time shift of the imported events (ms). It is chosen once, and a resumed import uses it again."""
    next_row: int
    imported: bool
    words: str = ""
    """What was said about the columns of a file."""

    def check(self, dataset: str, sample: int | None, min_item_users: int, seed: int, words: str = "") -> None:
        """Raise `StateMismatch` when the requested data set is not the stored one."""
        held = (self.dataset, self.sample, self.min_item_users, self.seed, self.words)
        asked = (dataset, sample, min_item_users, seed, words)
        if held != asked:
            raise StateMismatch(
                f"the state directory holds {_described(*held)}, not {_described(*asked)}: "
                "start over with --fresh, or take another --state-dir"
            )


def _described(dataset: str, sample: int | None, min_item_users: int, seed: int, words: str) -> str:
    said = f", {words}" if words else ""
    return f"{dataset} (sample {sample}, items of {min_item_users} shoppers, seed {seed}{said})"


def load(directory: Path) -> PlaygroundState | None:
    """Return the state, or None before the first import. Raises `StateMismatch` for an unreadable file."""
    path = directory / FILE
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=PlaygroundState)
    except msgspec.MsgspecError as error:
        raise StateMismatch(f"{path} cannot be read ({error}): start over with --fresh") from error


def save(directory: Path, state: PlaygroundState) -> None:
    """Write the state atomically: after a kill the file is either the old one or the new one."""
    with written_whole(directory / FILE) as temporary:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))


KNOWN_ENTRIES = frozenset(
    [FILE, LOCK, "broker", "redis", "snapshots", "models", "logs", "reports", "worker", "scheduler.lock"]
    + [address_file.FILE, sample_slots.FILE, "checkpoints", "tuning", "pictures"]
    + [f"{name}.db{suffix}" for name in ("graph", "scheduler") for suffix in ("", "-wal", "-shm", "-journal")]
)
"""The entries that Sagestream creates in a state directory. `remove` refuses a directory with other entries."""


def remove(directory: Path) -> None:
    """Delete the state directory. Raises `StateMismatch` when it holds entries that Sagestream did not create."""
    if not directory.exists():
        return
    unfinished = tuple(f".{name}." for name in (FILE, address_file.FILE))  # temporary files of a killed save
    foreign = sorted(
        entry.name
        for entry in directory.iterdir()
        if entry.name not in KNOWN_ENTRIES and not entry.name.startswith(unfinished)
    )
    if foreign:
        raise StateMismatch(f"{directory} holds {', '.join(foreign[:3])}, which is not Sagestream's: not deleted")
    shutil.rmtree(directory)
