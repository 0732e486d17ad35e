"""A fit that is interrupted goes on: its whole state in one file, and a fingerprint of what it is a fit of.

Arrives: the state of a fit between two steps. Leaves: a file, and from it the state again. Next: `training.sage.fit`
goes on from it, in the file that `training.sage.resume` names after the fit's snapshot.

The file is written to a temporary name and renamed, so whoever reads it reads a whole one, and it holds tensors and
plain values only: `torch.load` with `weights_only=True`. It holds no events and no user's row, but the order of
baskets: that of a finished fit is removed by `training.sage.fit`, that of a fit which nobody goes on with by
`training.sage.resume`.
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
"""Raised when the state has other parts: an older file is then put aside instead of misread."""


def fingerprint(log: EventLog, features: Tensor, window: Window | None, *, config: SageConfig, seed: int) -> str:
    """SHA-256 of everything that decides what a fit becomes, but the number of threads."""
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
    """Write `state` (tensors and plain values) in the place of an older one; the directory must exist."""
    with written_whole(path) as temporary:
        torch.save({"fingerprint": fingerprint, "state": state}, temporary)


def take_checkpoint(path: Path, *, fingerprint: str) -> dict[str, Any] | None:
    """The state in the file; None where there is none, and aloud where it is of another fit or damaged.

    The file is gone afterwards, so that a state which breaks the fit breaks it once.
    """
    if not path.exists():
        return None
    try:
        with ZipFile(path) as archive:  # `torch.load` does not look at the checksums
            damaged = archive.testzip()
        saved = {} if damaged else torch.load(path, weights_only=True)
    except (BadZipFile, EOFError, OSError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        damaged = str(error) or type(error).__name__
    finally:
        path.unlink()
    if damaged:  # the machine went down while the file was new
        logger.warning("%s is damaged (%s): the fit starts anew", path, damaged)
        return None
    if saved["fingerprint"] != fingerprint:
        logger.warning(
            "%s is of another fit (other events, features, settings, seed or validation window): this one starts anew",
            path,
        )
        return None
    state: dict[str, Any] = saved["state"]
    return state
