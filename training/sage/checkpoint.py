"""Checkpoint: the state of an interrupted fit in one file, with a fingerprint of its inputs.

Arrives: the state of a fit between two steps. Leaves: a file, and the state from that file. Next: `training.sage.fit`
resumes from it. `training.sage.resume` names the file after the snapshot.

The file is written under a temporary name and renamed, so it is always complete. It contains only tensors and plain
values, for `torch.load(weights_only=True)`. It contains no events and no user rows, only the order of baskets.
`training.sage.fit` removes it after the fit, and `training.sage.resume` removes files of other fits.
"""

import hashlib
import logging
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphstore.files import written_whole
from training.config import SageConfig
from training.data.event_log import EventLog
from training.data.windows import Window

logger = logging.getLogger(__name__)

FORMAT = 2
"""The version of the state. It increases when the parts of the state change, so that older files are rejected."""


def fingerprint(log: EventLog, features: Tensor, window: Window | None, *, config: SageConfig, seed: int) -> str:
    """Return the SHA-256 of all inputs that determine the result of a fit, except the number of threads."""
    total = hashlib.sha256(f"{FORMAT} {seed} {config.model_dump_json()} {log.num_users} {log.num_items}".encode())
    for array in _arrays(log, features, window):
        total.update(f"{array.dtype} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _arrays(log: EventLog, features: Tensor, window: Window | None) -> Iterable[npt.NDArray[Any]]:
    yield from (log.users, log.items, log.times, log.types, log.weights, features.numpy())
    if window is not None:
        past = window.histories
        yield from (window.users, past.offsets, past.items, past.times, past.types, window.offsets, window.targets)


def save_checkpoint(path: Path, state: dict[str, Any], *, fingerprint: str) -> None:
    """Write `state` (tensors and plain values) and replace an older file. The directory must exist."""
    with written_whole(path) as temporary:
        torch.save({"fingerprint": fingerprint, "state": state}, temporary)


def take_checkpoint(path: Path, *, fingerprint: str) -> dict[str, Any] | None:
    """Return the state in the file and delete the file.

    Returns None when there is no file, or, with a warning, when it is damaged or belongs to another fit. The file is
    deleted, so that a state that crashes a fit crashes it only once.
    """
    if not path.exists():
        return None
    try:
        with ZipFile(path) as archive:  # `torch.load` does not check the checksums
            damaged = archive.testzip()
        saved = {} if damaged else torch.load(path, weights_only=True)
    except (BadZipFile, EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        damaged = str(error) or type(error).__name__
    finally:
        path.unlink()
    if damaged:  # the machine crashed before the file was on disk
        logger.warning("%s is damaged (%s): the fit starts over", path, damaged)
        return None
    if saved["fingerprint"] != fingerprint:
        logger.warning(
            "%s is of another fit (other events, features, settings, seed or validation window): this one starts over",
            path,
        )
        return None
    state: dict[str, Any] = saved["state"]
    return state
