"""The benchmark on a checkerboard: who must win, what is averaged, what another process costs."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.training import fits
from tests.training.checkerboard import checkerboard, make_log
from training.benchmark.comparison import Results, paired_bootstrap, plain
from training.benchmark.isolated import Cost
from training.benchmark.report import markdown
from training.benchmark.run import FeatureFit, Fit, ModelFailed, run
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.data.splits import leave_last_out, temporal
from training.evaluation.ranking import evaluate
from training.options import TrainingOptions

SPLIT = leave_last_out(checkerboard(), repeats=False)
COST = Cost(cpu_seconds=1.5, peak_rss_mb=100.0)


def here(function: Callable[..., Any], *arguments: Any, progress: Callable[[str, float], None]) -> tuple[Any, Cost]:
    """In this process: fast, at a price that is made up."""
    return function(*arguments, progress), COST


def silent(_line: str, _share: float) -> None:
    """Progress that nobody asked for."""


def results(**models: Fit) -> Results:
    return run(SPLIT, models, seeds=3, cutoffs=(5,), progress=silent, launch=here)


def test_the_better_model_wins_and_the_interval_says_so() -> None:
    found = results(sagestream=fits.knowing, ease=fits.guessing)
    assert found.best_baseline == "ease"
    assert found.ratio["ndcg@20"] is not None
    assert found.ratio["ndcg@20"] > 1
    bounds = found.difference["ndcg@20"]
    assert 0 < bounds["low"] < bounds["mean"] < bounds["high"]
    ours, theirs = (found.models[name].measures["ndcg@20"][0] for name in ("sagestream", "ease"))
    assert bounds["mean"] == pytest.approx(ours - theirs)
    assert found.ratio["ndcg@20"] == pytest.approx(ours / theirs)


def test_the_best_baseline_is_the_best_on_the_test_and_never_a_part_of_ours() -> None:
    found = results(sagestream=fits.with_part, worse=fits.guessing, better=fits.knowing)
    assert set(found.models) == {"sagestream", "sagestream-without-parity", "worse", "better"}
    assert found.best_baseline == "better"
    assert found.difference["ndcg@20"]["mean"] == 0
    only_part = results(sagestream=fits.with_part)
    assert (only_part.best_baseline, only_part.ratio, only_part.difference) == (None, {}, {})
    assert results(worse=fits.guessing).best_baseline == "worse"


def test_means_and_deviations_over_seeds_are_those_of_single_runs() -> None:
    found = results(bpr=fits.guessing).models["bpr"]
    single = [
        evaluate(fits.guessing(SPLIT, TrainingOptions(seed=seed)), SPLIT.test, cutoffs=(5, 20)) for seed in range(3)
    ]
    for name in ("ndcg@20", "recall@5", "map@5"):
        means = [one.per_user[name].mean() for one in single]
        assert found.measures[name] == pytest.approx((np.mean(means), np.std(means, ddof=1)))
        assert found.per_user[name] == pytest.approx(np.mean([one.per_user[name] for one in single], axis=0))
    assert found.measures["ndcg@20"][1] > 0


def test_a_model_without_chance_is_fitted_once() -> None:
    seeds: list[tuple[str, int]] = []

    def watched(function: Callable[..., Any], *arguments: Any, progress: Any) -> tuple[Any, Cost]:
        seeds.append((arguments[0].__name__, arguments[2]))
        return here(function, *arguments, progress=progress)

    run(SPLIT, {"popular": fits.guessing, "bpr": fits.knowing}, seeds=2, cutoffs=(5,), progress=silent, launch=watched)
    assert seeds == [("guessing", 0), ("knowing", 0), ("knowing", 1)]


def test_the_json_has_the_agreed_form() -> None:
    found = results(sagestream=fits.with_part, ease=fits.guessing)
    told = json.loads(json.dumps(found.as_json("toy", understood={}), allow_nan=False))
    assert set(told) == {"dataset", "understood", "split", "models", "best_baseline", "ratio", "difference"}
    assert (told["dataset"], told["split"], told["best_baseline"]) == ("toy", "leave-last-out", "ease")
    assert set(told["ratio"]) == {"ndcg@20", "recall@20"}
    assert set(told["difference"]) == {"ndcg@20"}
    assert set(told["difference"]["ndcg@20"]) == {"mean", "low", "high"}
    names = (
        "recall",
        "precision",
        "ndcg",
        "map",
        "mrr",
        "hit_rate",
        "coverage",
        "novelty",
        "diversity",
        "popularity_bias",
    )
    measures = {f"{name}@{k}" for name in names for k in (5, 20)}
    slices = {"warm", "cold_users", "cold_items"}
    for row in told["models"].values():
        assert set(row) == measures | slices | {"params", "cpu_seconds", "peak_rss_mb", "settings"}
        assert all(set(row[name]) == {"mean", "std"} for name in measures)
        assert all("users" in row[name] for name in slices)
    ease = told["models"]["ease"]
    assert (ease["params"], ease["cpu_seconds"], ease["peak_rss_mb"]) == (3, 1.5, 100.0)
    assert ease["settings"] == [{"half_life": "inf"}]  # ease is fitted with one seed
    assert told["models"]["sagestream-without-parity"]["cpu_seconds"] is None
    assert ease["warm"]["users"] == 40
    assert ease["cold_users"]["ndcg@20"] is None


def test_the_table_begins_with_the_best_and_tells_the_comparison() -> None:
    shown = markdown(results(sagestream=fits.knowing, ease=fits.guessing), cutoffs=(5,))
    rows = [line for line in shown.splitlines() if line.startswith("| ")]
    assert rows[0].split("|")[2].strip() == "NDCG@5"
    assert [row.split("|")[1].strip() for row in rows[1:3]] == ["**sagestream**", "ease"]
    assert "`sagestream` against `ease`" in shown
    assert "warm (40 users): NDCG@5" in shown
    assert "cold users" not in shown  # there are none
    assert "No baseline" in markdown(results(sagestream=fits.knowing), cutoffs=(5,))


def test_the_tables_are_no_wider_than_a_terminal() -> None:
    named = {
        "sagestream": fits.with_part,
        "personal-frequency": fits.knowing,
        "lightgcn-of-three-layers": fits.guessing,
    }
    found = run(SPLIT, named, seeds=3, cutoffs=(5, 10, 20), progress=silent, launch=here)
    lines = [line for line in markdown(found, cutoffs=(5, 10, 20)).splitlines() if line.startswith("|")]
    assert max(len(line) for line in lines) <= 80
    headings = [line for line in lines if line.startswith("| model")]
    assert [cell for line in headings for cell in line.split()].count("NDCG@10") == 1
    assert len([line for line in lines if line.startswith("| **sagestream**")]) == len(headings) > 3


@pytest.mark.parametrize(("fit", "reason"), [(fits.not_finite, "not finite"), (fits.failing, "singular matrix")])
def test_a_model_that_fails_ends_the_benchmark(fit: Fit, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        results(sagestream=fits.knowing, ease=fit)


def test_without_anybody_to_judge_on_there_is_no_benchmark() -> None:
    log = make_log([(0, 0, time) for time in range(100)], num_users=1, num_items=1)
    with pytest.raises(TooFewEvents, match="0 users"):
        run(temporal(log, repeats=False), {"ease": fits.knowing}, seeds=1, cutoffs=(5,), progress=silent, launch=here)


def test_features_reach_the_fit_as_a_tensor() -> None:
    features = np.ones((24, 7), dtype=np.float32)
    found = results(sagestream=FeatureFit(fits.fit_best, features, TrainingConfig()))
    assert [one["width"] for one in found.models["sagestream"].settings] == [7] * 3


def test_the_bootstrap_of_a_constant_is_that_constant_and_of_noise_wide() -> None:
    assert paired_bootstrap(np.full(50, 0.25), seed=0) == (0.25, 0.25, 0.25)
    noise = np.random.default_rng(0).normal(size=400)
    mean, low, high = paired_bootstrap(noise, seed=0)
    assert mean == pytest.approx(noise.mean())
    # 95 % of a normal mean lie within 1.96 standard errors.
    assert (high - low) / 2 == pytest.approx(1.96 * noise.std() / 20, rel=0.05)
    assert paired_bootstrap(noise, seed=0) == (mean, low, high)


def test_settings_become_plain_json() -> None:
    odd = {"a": float("inf"), "b": np.float32(0.5), "c": (1, None), 3: {"d": np.arange(2)}, "e": SPLIT.past.__class__}
    assert json.loads(json.dumps(plain(odd), allow_nan=False)) == {
        "a": "inf",
        "b": 0.5,
        "c": [1, None],
        "3": {"d": [0, 1]},
        "e": str(SPLIT.past.__class__),
    }


@pytest.mark.kill
def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(ModelFailed, match="als, seed 0: its process ended with exit code 3"):
        run(SPLIT, {"als": fits.dying}, seeds=1, cutoffs=(5,), progress=silent)
