"""Unfinished run: keeps each finished fit of a benchmark, so that an interrupted one goes on.

Arrives: the lists and the cost of one model and seed. Leaves: the same, bit for bit, in a later run of the same
benchmark. Next: `training.benchmark.run` asks for a fit before it makes it.

The directory `<results>.unfinished` stands beside the JSON file and is removed when the benchmark is done. It holds
`run.json`, which tells what was asked for, and one NumPy archive for each fit, without pickle. Each file is written
whole or not at all.

Rejected: one file with all fits. It would be written anew after each of them, 100 MB and more for a large test window.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphstore.arrays import IntArray
from graphstore.errors import UserError, file_errors
from graphstore.files import read_json, written_whole
from training.benchmark.fitted_lists import FeatureFit, Fit, FittedLists, PartLists
from training.benchmark.isolated import Cost
from training.data.splits import EvaluationSplit
from training.data.windows import Window

MAX_RUN_BYTES = 1_000_000
MAX_PARTS = 16
"""Parts of one model."""
MAX_TOLD_BYTES = 1_000_000
"""What an archive tells beside the lists: settings, parameters, costs."""

RUN = "run.json"
SUFFIX = ".npz"
LISTS, TOLD = "lists", "told"


class OtherRun(UserError):
    """The kept fits belong to another benchmark. The message names what differs."""

    exit_code = 2


class UnusableFit(UserError):
    """A kept fit cannot be read, or does not fit the test window."""


def fingerprint(
    split: EvaluationSplit, fits: Mapping[str, Fit], *, seeds: int, cutoffs: Sequence[int], version: str
) -> dict[str, str]:
    """Return what a benchmark is made of, by name in words: equal ones give equal results.

    `split` is the one of seed 0, which holds the events of all the others. `version` is the version of this package.
    """
    data = hashlib.sha256()
    for events in (split.past, split.known):
        for column in (events.users, events.items, events.times, events.types, events.weights):
            data.update(column.tobytes())
        data.update(f"{events.num_users} {events.num_items}".encode())
    for window in (split.validation, split.test):
        for column in (window.users, window.offsets, window.targets, window.histories.items, window.histories.times):
            data.update(column.tobytes())
    settings = hashlib.sha256()
    for name, fit in fits.items():
        if isinstance(fit, FeatureFit):
            settings.update(f"{name} {fit.config.model_dump_json()} {fit.budget_seconds}".encode())
            settings.update(b"" if fit.features is None else fit.features.tobytes())
    return {
        "version": version,
        "data set": data.hexdigest(),
        "split": split.name,
        "repeats": "allow" if split.test.repeats else "exclude",
        "lengths of the lists": ",".join(str(k) for k in cutoffs),
        "seeds": str(seeds),
        "models": ",".join(fits),
        "training configuration, budget and item features": settings.hexdigest(),
    }


class UnfinishedRun:
    """The finished fits of one benchmark, on disk.

    Args:
        results: The JSON file of the benchmark.
        made_of: Its `fingerprint`.
        resume: Whether to use what is kept. If not, it is removed when the first fit is stored, and not before, so an
            interrupted run is not lost by a call without the option.

    Raises `OtherRun` when something is kept of another benchmark and `resume` asks for it.
    """

    def __init__(self, results: Path, made_of: Mapping[str, str], *, resume: bool) -> None:
        self.directory = results.with_name(f"{results.name}.unfinished")
        self._made_of = dict(made_of)
        self._begun = resume and self._check()

    def kept(self) -> int:
        """Return the number of fits on disk, of this benchmark or of an older one that is not resumed."""
        with file_errors(self.directory):
            return len(list(self.directory.glob(f"*{SUFFIX}")))

    def load(self, model: str, seed: int, window: Window, *, k: int) -> tuple[FittedLists, Cost] | None:
        """Return the kept fit for the users of the test `window`, with lists of length `k`; None when it is not kept.

        Raises `UnusableFit`.
        """
        path = self._path(model, seed)
        with file_errors(path):
            if not self._begun or not path.exists():
                return None
            try:
                return _read(path, window, k)
            except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
                raise UnusableFit(f"{path} is no kept fit ({error}): remove it, and the fit is made again") from error

    def store(self, model: str, seed: int, found: FittedLists, cost: Cost) -> None:
        """Keep a fit."""
        if not self._begun:
            self.remove()
            with file_errors(self.directory):
                self.directory.mkdir()
                with written_whole(self.directory / RUN) as path:
                    path.write_text(json.dumps(self._made_of, indent=1) + "\n", encoding="utf-8")
            self._begun = True
        told = {
            "num_parameters": found.num_parameters,
            "settings": found.settings,
            "cpu_seconds": cost.cpu_seconds,
            "peak_rss_mb": cost.peak_rss_mb,
            "parts": [
                {"name": name, "num_parameters": part.num_parameters, "settings": part.settings}
                for name, part in found.parts.items()
            ],
        }
        arrays: dict[str, Any] = {LISTS: found.lists.astype(np.int32)}
        arrays |= {f"{LISTS}_{index}": part.lists.astype(np.int32) for index, part in enumerate(found.parts.values())}
        text = np.frombuffer(json.dumps(told, allow_nan=False).encode(), dtype=np.uint8)
        path = self._path(model, seed)
        with file_errors(path), written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays, **{TOLD: text})

    def remove(self) -> None:
        """Remove all fits: the benchmark is done. A file of somebody else stays, and is an error."""
        with file_errors(self.directory):
            if not self.directory.exists():
                return
            for file in self.directory.iterdir():
                if file.name == RUN or file.suffix == SUFFIX or file.name.startswith("."):  # "." of a killed process
                    file.unlink()
            self.directory.rmdir()

    def _path(self, model: str, seed: int) -> Path:
        return self.directory / f"{model}.{seed}{SUFFIX}"

    def _check(self) -> bool:
        """Return whether something is kept. Raises `OtherRun`."""
        path = self.directory / RUN
        if not path.exists():
            return False
        before = read_json(path, max_bytes=MAX_RUN_BYTES, error=UnusableFit)
        if not isinstance(before, dict):
            raise UnusableFit(f"{path} is not what an unfinished benchmark writes")
        differing = [name for name in {**self._made_of, **before} if before.get(name) != self._made_of.get(name)]
        if differing:
            said = "; ".join(_difference(name, before.get(name), self._made_of.get(name)) for name in differing)
            raise OtherRun(
                f"{self.directory} is of another benchmark: {said}. Without --resume, or with another --json, a new "
                "one begins"
            )
        return True


def _difference(name: str, before: Any, now: Any) -> str:
    if len(str(before)) == len(str(now)) == len(hashlib.sha256().hexdigest()):
        return f"another {name}"
    return f"{name} {before}, now {now}"


def _read(path: Path, window: Window, k: int) -> tuple[FittedLists, Cost]:
    largest = (MAX_PARTS + 1) * (len(window) * k * 4 + 1_000) + MAX_TOLD_BYTES
    with zipfile.ZipFile(path) as archive:  # the sizes before anything is read into memory
        size = sum(member.file_size for member in archive.infolist())
    if size > largest:
        raise ValueError(f"it holds {size:,} bytes, at most {largest:,} are expected")
    with np.load(path, allow_pickle=False) as arrays:
        told = json.loads(arrays[TOLD].tobytes())
        found = FittedLists(
            lists=_lists(arrays[LISTS], window, k),
            parts={
                str(part["name"]): PartLists(
                    _lists(arrays[f"{LISTS}_{index}"], window, k), part["num_parameters"], part["settings"]
                )
                for index, part in enumerate(told["parts"])
            },
            num_parameters=int(told["num_parameters"]),
            settings=told["settings"],
        )
    return found, Cost(float(told["cpu_seconds"]), float(told["peak_rss_mb"]))


def _lists(array: Any, window: Window, k: int) -> IntArray:
    if array.shape != (len(window), k) or array.dtype != np.int32:
        raise ValueError(f"lists {array.shape} of {array.dtype}, not {(len(window), k)} of int32")
    if array.size and not -1 <= array.min() <= array.max() < window.num_items:
        raise ValueError("an item that the window does not have")
    lists: IntArray = array.astype(np.int64)
    return lists
