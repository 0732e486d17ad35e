"""A model from outside is given the past and the validation, and nothing of the test but who is asked about."""

from pathlib import Path

import numpy as np

from benchmarks.outside import K, write_split
from tests.training.checkerboard import checkerboard
from training.data.splits import temporal


def test_the_targets_of_the_test_are_not_written(tmp_path: Path) -> None:
    split = temporal(checkerboard(bought=8), repeats=False)
    write_split(split, tmp_path / "split.npz")
    given = np.load(tmp_path / "split.npz")
    assert set(given.files) == {
        *("past", "known", "repeats", "k", "test_users"),
        *("validation_users", "validation_targets", "validation_offsets"),
    }
    assert given["k"] == K
    assert given["known"][:, 2].max() < split.test.as_of
    assert len(given["past"]) == len(split.past) < len(given["known"])
    assert given["test_users"].tolist() == split.test.users.tolist()
