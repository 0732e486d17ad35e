"""The benchmark on a checkerboard: who must win, what is averaged, what another process costs."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.training import fits
from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.benchmark.comparison import Results, paired_bootstrap, plain
from training.benchmark.fitted_lists import FeatureFit, Fit
from training.benchmark.isolated import Cost
from training.benchmark.report import markdown, row
from training.benchmark.run import FinishedFit, Listener, ModelFailed, run
from training.config import TrainingConfig
from training.data.dataset import TooFewEvents
from training.data.split_draws import SplitDraws, Ties
from training.data.splits import EvaluationSplit, leave_last_out, temporal
from training.evaluation.ranking import evaluate
from training.options import TrainingOptions

SPLIT = leave_last_out(checkerboard(), repeats=False)
DRAWS = SplitDraws.fixed(SPLIT)
DAYS = checkerboard()
DAYS = replace(DAYS, times=DAYS.times // (3 * DAY_MS) * (3 * DAY_MS))
"""Three events of each user have one time."""
COST = Cost(cpu_seconds=1.5, peak_rss_mb=100.0)


def here(function: Callable[..., Any], *arguments: Any, progress: Callable[[str, float], None]) -> tuple[Any, Cost]:
    """In this process: fast, at a price that is made up."""
    return function(*arguments, progress), COST


def results(**models: Fit) -> Results:
    return run(DRAWS, models, seeds=3, cutoffs=(5,), launch=here)


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

    run(DRAWS, {"popular": fits.guessing, "bpr": fits.knowing}, seeds=2, cutoffs=(5,), launch=watched)
    assert seeds == [("guessing", 0), ("knowing", 0), ("knowing", 1)]


def test_ties_are_drawn_anew_for_each_seed_and_all_models_of_a_seed_see_the_same_split() -> None:
    splits: dict[int, list[EvaluationSplit]] = {}

    def watched(function: Callable[..., Any], *arguments: Any, progress: Any) -> tuple[Any, Cost]:
        splits.setdefault(arguments[2], []).append(arguments[1])
        return here(function, *arguments, progress=progress)

    draws = SplitDraws.leave_last_out(DAYS, repeats=False)
    models: dict[str, Fit] = {"popular": fits.fixed, "bpr": fits.knowing}
    found = run(draws, models, seeds=3, cutoffs=(5,), launch=watched)
    assert {seed: len(seen) for seed, seen in splits.items()} == {0: 2, 1: 2, 2: 2}  # popular has three fits, too
    for one, other in splits.values():
        assert one is other
    targets = {tuple(seen[0].test.targets.tolist()) for seen in splits.values()}
    assert len(targets) == 3
    popular = found.models["popular"]
    assert popular.seeds == 3
    assert popular.measures["ndcg@20"][1] > 0  # the same list for everybody, but not the same targets
    assert (found.ties, found.as_json("toy", understood={})["ties"]) == (
        Ties(40, 40, 40),
        {"users": 40, "test": 40, "validation": 40},
    )
    once = run(DRAWS, models, seeds=3, cutoffs=(5,), launch=here).models["popular"]
    assert (once.seeds, once.measures["ndcg@20"][1]) == (1, 0.0)


def test_after_each_fit_it_is_told_what_is_done_and_what_is_missing() -> None:
    told: list[FinishedFit] = []
    models: dict[str, Fit] = {"sagestream": fits.with_part, "popular": fits.guessing}
    found = run(DRAWS, models, seeds=2, cutoffs=(5,), listener=Listener(on_fit=told.append), launch=here)
    assert [str(one.job) for one in told] == ["sagestream, seed 0", "sagestream, seed 1", "popular, seed 0"]
    assert [one.share for one in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert [list(one.rows) for one in told] == [[], ["sagestream", "sagestream-without-parity"], ["popular"]]
    assert [one.results.missing for one in told] == [(("sagestream", 1), ("popular", 0)), (("popular", 0),), ()]
    assert [one.results.models["sagestream"].seeds for one in told] == [1, 2, 2]
    early = told[0].results.as_json("toy", understood={})
    assert early["finished"] is False
    assert early["missing"] == [{"model": "sagestream", "seed": 1}, {"model": "popular", "seed": 0}]
    assert [one.results.best_baseline for one in told] == [None, None, "popular"]  # the missing one may be better
    assert told[-1].results == found


def test_the_progress_names_model_and_seed_once() -> None:
    lines: list[tuple[str, float]] = []
    listener = Listener(progress=lambda line, share: lines.append((line, share)))
    run(DRAWS, {"knowing": fits.knowing}, seeds=2, cutoffs=(5,), listener=listener, launch=here)
    assert lines == [
        ("knowing, seed 0: tuning and fit", 0.0),
        ("knowing, seed 0: half", 0.25),
        ("knowing, seed 0: lists", pytest.approx(0.495)),
        ("knowing, seed 1: tuning and fit", 0.5),
        ("knowing, seed 1: half", 0.75),
        ("knowing, seed 1: lists", pytest.approx(0.995)),
    ]


def test_the_json_has_the_agreed_form() -> None:
    found = results(sagestream=fits.with_part, ease=fits.guessing)
    told = json.loads(json.dumps(found.as_json("toy", understood={}), allow_nan=False))
    assert set(told) == {
        *("dataset", "understood", "split", "ties", "finished", "missing"),
        *("models", "best_baseline", "ratio", "difference"),
    }
    assert (told["ties"], told["finished"], told["missing"]) == (None, True, [])
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
        "ndcg_ips",
        "recall_ips",
        "coverage",
        "novelty",
        "diversity",
        "popularity_bias",
    )
    measures = {f"{name}@{k}" for name in names for k in (5, 20)}
    slices = {"warm", "cold_users", "cold_items"}
    for model in told["models"].values():
        assert set(model) == measures | slices | {"seeds", "params", "cpu_seconds", "peak_rss_mb", "settings"}
        assert all(set(model[name]) == {"mean", "std"} for name in measures)
        assert all("users" in model[name] for name in slices)
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
    assert all(f"{heading}@5" in shown for heading in ("NDCG IPS", "Recall IPS", "Coverage", "Popularity bias"))
    assert "`sagestream` against `ease`" in shown
    assert "warm (40 users): NDCG@5" in shown
    assert "cold users" not in shown  # there are none
    assert "No baseline" in markdown(results(sagestream=fits.knowing), cutoffs=(5,))


def test_a_row_says_accuracy_and_cost_in_a_line() -> None:
    found = results(sagestream=fits.with_part, ease=fits.guessing).models
    ours, part, ease = (row(name, result, cutoffs=(5,)) for name, result in found.items())
    mean, deviation = found["sagestream"].measures["ndcg@5"]
    assert ours.startswith(f"sagestream: NDCG@5 {mean:.4f} ± {deviation:.4f} · Recall@5 ")
    assert ease == f"ease: NDCG@5 {found['ease'].measures['ndcg@5'][0]:.4f} · " + ease.partition(" · ")[2]
    assert ours.endswith(" · 1.5 CPU s · 100 MB")
    assert "CPU" not in part


def test_the_tables_are_no_wider_than_a_terminal() -> None:
    named = {
        "sagestream": fits.with_part,
        "personal-frequency": fits.knowing,
        "lightgcn-of-three-layers": fits.guessing,
    }
    found = run(DRAWS, named, seeds=3, cutoffs=(5, 10, 20), launch=here)
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
        run(SplitDraws.fixed(temporal(log, repeats=False)), {"ease": fits.knowing}, seeds=1, cutoffs=(5,), launch=here)


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
        run(DRAWS, {"als": fits.dying}, seeds=1, cutoffs=(5,))
