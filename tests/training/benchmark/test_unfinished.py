"""An interrupted benchmark: what is kept comes back bit for bit, and never into another benchmark."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphstore.errors import UnusableFile
from tests.training import fits
from tests.training.benchmark.test_run import COST, DAYS, here
from tests.training.checkerboard import checkerboard
from training.benchmark.fitted_lists import FeatureFit, Fit, FittedLists, PartLists, fit_lists
from training.benchmark.isolated import Cost
from training.benchmark.run import run
from training.benchmark.unfinished import RUN, OtherRun, UnfinishedRun, UnusableFit, fingerprint
from training.config import TrainingConfig
from training.data.split_draws import SplitDraws
from training.data.splits import leave_last_out
from training.options import ignore_progress

SPLIT = leave_last_out(checkerboard(), repeats=False)
MODELS: dict[str, Fit] = {"sagestream": fits.with_part, "popular": fits.fixed, "bpr": fits.knowing}
MADE_OF = fingerprint(SPLIT, MODELS, seeds=2, cutoffs=(5, 20), version="1.0")


def unfinished(folder: Path, made_of: dict[str, str] = MADE_OF, *, resume: bool = True) -> UnfinishedRun:
    return UnfinishedRun(folder / "out.json", made_of, resume=resume)


def found(k: int = 20) -> FittedLists:
    return fit_lists(fits.with_part, SPLIT, 0, k, ignore_progress)


def assert_equal(one: FittedLists, other: FittedLists) -> None:
    assert np.array_equal(one.lists, other.lists)
    assert one.lists.dtype == other.lists.dtype
    assert (one.num_parameters, one.settings) == (other.num_parameters, other.settings)
    assert list(one.parts) == list(other.parts)
    for name, part in one.parts.items():
        assert np.array_equal(part.lists, other.parts[name].lists)
        assert (part.num_parameters, part.settings) == (other.parts[name].num_parameters, other.parts[name].settings)


def test_a_kept_fit_comes_back_as_it_was(tmp_path: Path) -> None:
    one = found()
    one = replace(one, parts={**one.parts, "silent": PartLists(one.lists[:, ::-1].copy(), None, {"of": ["inf", 0.1]})})
    unfinished(tmp_path, resume=False).store("sagestream", 3, one, Cost(0.1 + 0.2, 100.5))
    kept = unfinished(tmp_path)
    assert kept.kept() == 1
    loaded = kept.load("sagestream", 3, SPLIT.test, k=20)
    assert loaded is not None
    assert_equal(loaded[0], one)
    assert loaded[1] == Cost(0.1 + 0.2, 100.5)
    assert kept.load("sagestream", 2, SPLIT.test, k=20) is None
    kept.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("log", [checkerboard(), DAYS], ids=["one split", "a split for each seed"])
@pytest.mark.parametrize("after", [1, 3, 4])
def test_an_interrupted_run_has_the_results_of_a_run_in_one_go(tmp_path: Path, log: Any, after: int) -> None:
    draws = SplitDraws.leave_last_out(log, repeats=False)
    fitted: list[tuple[str, int]] = []

    def stopping(function: Callable[..., Any], *arguments: Any, progress: Any) -> tuple[Any, Cost]:
        if len(fitted) == after:
            raise KeyboardInterrupt
        fitted.append((arguments[0].__name__, arguments[2]))
        return here(function, *arguments, progress=progress)

    def going_on(function: Callable[..., Any], *arguments: Any, progress: Any) -> tuple[Any, Cost]:
        fitted.append((arguments[0].__name__, arguments[2]))
        return here(function, *arguments, progress=progress)

    made_of = fingerprint(draws.split(0), MODELS, seeds=2, cutoffs=(5, 20), version="1.0")
    with pytest.raises(KeyboardInterrupt):
        run(
            draws,
            MODELS,
            seeds=2,
            cutoffs=(5,),
            unfinished=unfinished(tmp_path, made_of, resume=False),
            launch=stopping,
        )
    kept = unfinished(tmp_path, made_of)
    assert kept.kept() == after
    resumed = run(draws, MODELS, seeds=2, cutoffs=(5,), unfinished=kept, launch=going_on)
    assert len(fitted) == len(set(fitted)) == (6 if draws.varies else 5)  # each fit once
    whole = run(draws, MODELS, seeds=2, cutoffs=(5,), launch=here)
    assert resumed.as_json("toy", understood={}) == whole.as_json("toy", understood={})
    for name, result in whole.models.items():
        for measure, values in result.per_user.items():
            assert np.array_equal(resumed.models[name].per_user[measure], values)


def test_of_a_benchmark_that_is_not_resumed_nothing_is_used_and_nothing_is_lost_before_the_first_fit(
    tmp_path: Path,
) -> None:
    unfinished(tmp_path, resume=False).store("sagestream", 0, found(), COST)
    unfinished(tmp_path, resume=False).store("bpr", 0, found(), COST)
    assert unfinished(tmp_path).kept() == 1  # the second one began anew
    anew = unfinished(tmp_path, MADE_OF | {"seeds": "9"}, resume=False)
    assert (anew.kept(), anew.load("bpr", 0, SPLIT.test, k=20)) == (1, None)
    assert unfinished(tmp_path).load("bpr", 0, SPLIT.test, k=20) is not None


def test_without_anything_kept_it_begins_anew(tmp_path: Path) -> None:
    kept = unfinished(tmp_path)
    assert (kept.kept(), kept.load("bpr", 0, SPLIT.test, k=20)) == (0, None)
    kept.directory.mkdir()  # killed at once
    unfinished(tmp_path).store("bpr", 0, found(), COST)
    assert unfinished(tmp_path).kept() == 1


FEATURES = np.ones((24, 3), dtype=np.float32)
OURS: dict[str, Fit] = {"sagestream": FeatureFit(fits.fit_best, FEATURES, TrainingConfig())}


@pytest.mark.parametrize(
    ("made_of", "said"),
    [
        (fingerprint(SPLIT, MODELS, seeds=3, cutoffs=(5, 20), version="1.0"), "seeds 2, now 3."),
        (
            fingerprint(SPLIT, MODELS, seeds=2, cutoffs=(20,), version="1.1"),
            "version 1.0, now 1.1; lengths of the lists",
        ),
        (fingerprint(SPLIT, {"bpr": fits.knowing}, seeds=2, cutoffs=(5, 20), version="1.0"), "models .*, now bpr."),
        (
            fingerprint(
                leave_last_out(checkerboard(seed=1), repeats=False), MODELS, seeds=2, cutoffs=(5, 20), version="1.0"
            ),
            "of another benchmark: another data set. Without",
        ),
        (
            fingerprint(leave_last_out(checkerboard(), repeats=True), MODELS, seeds=2, cutoffs=(5, 20), version="1.0"),
            "repeats exclude, now allow",
        ),
    ],
)
def test_another_benchmark_is_refused_and_what_differs_is_named(
    tmp_path: Path, made_of: dict[str, str], said: str
) -> None:
    unfinished(tmp_path, resume=False).store("sagestream", 0, found(), COST)
    with pytest.raises(OtherRun, match=said):
        unfinished(tmp_path, made_of)
    unfinished(tmp_path, made_of, resume=False)


def test_the_fingerprint_knows_our_features_and_configuration() -> None:
    def made_of(fit: Fit) -> dict[str, str]:
        return fingerprint(SPLIT, {"sagestream": fit}, seeds=1, cutoffs=(20,), version="1.0")

    one = made_of(OURS["sagestream"])
    assert one == made_of(FeatureFit(fits.fit_best, FEATURES.copy(), TrainingConfig()))
    others = [
        FeatureFit(fits.fit_best, FEATURES * 2, TrainingConfig()),
        FeatureFit(fits.fit_best, None, TrainingConfig()),
        FeatureFit(fits.fit_best, FEATURES, TrainingConfig(evaluation_users=7)),
    ]
    for other in others:
        assert [name for name, value in made_of(other).items() if value != one[name]] == [
            "training configuration, budget and item features"
        ]


def test_a_kept_fit_of_other_lists_is_not_used(tmp_path: Path) -> None:
    kept = unfinished(tmp_path)
    kept.store("bpr", 0, found(), COST)
    with pytest.raises(UnusableFit, match=r"bpr\.0\.npz is no kept fit .*: remove it"):
        kept.load("bpr", 0, SPLIT.test, k=10)
    with pytest.raises(UnusableFit, match=r"lists \(40, 20\)"):
        kept.load("bpr", 0, SPLIT.test.take(np.arange(39)), k=20)
    with pytest.raises(UnusableFit, match="an item that the window does not have"):
        kept.load("bpr", 0, replace(SPLIT.test, num_items=7), k=20)


def test_a_file_that_is_no_fit_is_told(tmp_path: Path) -> None:
    kept = unfinished(tmp_path)
    kept.store("bpr", 0, found(), COST)
    path = kept.directory / "bpr.0.npz"
    whole = path.read_bytes()
    for content in (b"", whole[:200], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UnusableFit):
            kept.load("bpr", 0, SPLIT.test, k=20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lists.npy", b"\0" * 100_000_000)  # a hundred kilobytes on disk
    with pytest.raises(UnusableFit, match="it holds 100,000,000 bytes"):
        kept.load("bpr", 0, SPLIT.test, k=20)
    np.savez(path, lists=np.zeros((40, 20), dtype=np.int32), told=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UnusableFit, match="pickle"):
        kept.load("bpr", 0, SPLIT.test, k=20)


def test_what_was_asked_for_is_checked_before_it_is_read(tmp_path: Path) -> None:
    kept = unfinished(tmp_path)
    kept.store("bpr", 0, found(), COST)
    for content in ("[]", "{", "x" * 2_000_000):
        (kept.directory / RUN).write_text(content)
        with pytest.raises(UnusableFit):
            unfinished(tmp_path)
    (kept.directory / RUN).write_text(json.dumps(MADE_OF | {"colour": "red"}))
    with pytest.raises(OtherRun, match="colour red, now None"):
        unfinished(tmp_path)


def test_a_file_of_somebody_else_is_not_removed(tmp_path: Path) -> None:
    kept = unfinished(tmp_path)
    kept.store("bpr", 0, found(), COST)
    (kept.directory / "notes.txt").write_text("mine")
    with pytest.raises(UnusableFile):
        kept.remove()
    assert [file.name for file in kept.directory.iterdir()] == ["notes.txt"]
