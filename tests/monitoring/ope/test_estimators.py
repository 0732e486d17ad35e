"""The estimators against cases computed by hand and against worlds whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.click_world import OTHER, World, true_value
from monitoring.ope.estimators import Evaluation, Lists, NoSupport, TooLittleData, evaluate
from serving.routing import Exploration

RUNS = 500
SHOPPERS = 400


def lists_of(ratios: list[list[float]], rewards: list[list[float]], times: int, **changed: object) -> Lists:
    """A few lists, repeated, each of a shopper of its own; the model predicts 0."""
    shape = np.array(ratios)
    every = {
        "shown": np.ones(shape.shape, dtype=np.bool_),
        "ratios": shape,
        "rewards": np.array(rewards),
        "predicted": np.zeros(shape.shape),
        "expected": np.zeros(shape.shape),
    } | changed
    repeated = {name: np.tile(np.asarray(values), (times, 1)) for name, values in every.items()}
    return Lists(**repeated, shoppers=np.arange(len(ratios) * times))


def values(done: Evaluation) -> list[float]:
    return [done.estimates[name].value for name in ("ips", "snips", "dr")]


def test_hand_computed_values_of_one_position() -> None:
    # Weights 1.5 and 0.5. IPS: (1.5 · 1 + 0.5 · 0) / 2. The weights have the mean 1, so SNIPS is the same.
    done = evaluate(lists_of([[1.5], [0.5]], [[1.0], [0.0]], 200))
    assert values(done) == pytest.approx([0.75, 0.75, 0.75])
    assert done.logged.value == 0.5
    assert done.estimates["ips"].difference == pytest.approx(0.25)
    assert done.effective_lists == pytest.approx(400**2 / (200 * (1.5**2 + 0.5**2)))
    assert (done.lists, done.shoppers, done.items, done.rewards) == (400, 400, 400, 200.0)
    assert done.mean_weight == pytest.approx(1.0)


def test_hand_computed_interval() -> None:
    # Values 1.5 and 0 in halves: variance 0.75² · n / (n − 1). The quantile of t with 399 degrees is 1.9659.
    done = evaluate(lists_of([[1.5], [0.5]], [[1.0], [0.0]], 200)).estimates["ips"]
    half = 1.9659 * 0.75 * (400 / 399) ** 0.5 / 400**0.5
    assert (done.high - done.value, done.value - done.low) == pytest.approx((half, half), rel=1e-4)


def test_hand_computed_values_of_two_positions() -> None:
    # Weights down to a position: 2 and 2 · 0.5 = 1; 0 and 0; 1 and 1.5. Rewards in all: 2 · 1 + 1 · 1 + 1.5 · 1 = 4.5.
    ratios, rewards = [[2.0, 0.5], [0.0, 3.0], [1.0, 1.5]], [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]]
    done = evaluate(lists_of(ratios, rewards, 100))
    assert done.estimates["ips"].value == pytest.approx(4.5 / 6)
    # SNIPS: position 0: 2 / 3. Position 1: (1 + 1.5) / 2.5 = 1.
    assert done.estimates["snips"].value == pytest.approx((2 / 3 + 1) / 2)
    assert done.mean_weight == pytest.approx(2.5 / 3)


def test_hand_computed_doubly_robust_value() -> None:
    # w (r − predicted) + (weight above) · expected. First list: 1.5 · 0.5 + 0.6 = 1.35, then 1.5 · 0.75 + 1.5 · 0.3 =
    # 1.575. Second list: −0.5 · 0.5 + 0.6 = 0.35, then −0.5 · 0.25 + 0.5 · 0.3 = 0.025.
    changed = {"predicted": [[0.5, 0.25], [0.5, 0.25]], "expected": [[0.6, 0.3], [0.6, 0.3]]}
    done = evaluate(lists_of([[1.5, 1.0], [0.5, 1.0]], [[1.0, 1.0], [0.0, 0.0]], 200, **changed))
    assert done.estimates["dr"].value == pytest.approx((1.35 + 1.575 + 0.35 + 0.025) / 4)


def test_lists_of_different_lengths_count_by_shown_items() -> None:
    shown = [[True, True], [True, False]]
    done = evaluate(lists_of([[1.0, 1.0], [1.0, 9.0]], [[1.0, 0.0], [1.0, 1.0]], 100, shown=shown))
    assert done.items == 300
    assert values(done) == pytest.approx([2 / 3, 2 / 3, 2 / 3])


def test_a_weight_counts_at_most_as_the_clip() -> None:
    done = evaluate(lists_of([[8.0], [0.5], [0.5], [0.5]], [[1.0], [0.0], [0.0], [0.0]], 100), clip=2.0)
    assert done.estimates["ips"].value == pytest.approx(2.0 / 4)
    assert (done.clip, done.clipped) == (2.0, pytest.approx(1 - 3.5 / 9.5))
    assert evaluate(lists_of([[1.0]], [[1.0]], 400)).clip == 20.0


def test_the_same_setting_has_the_same_value_and_no_difference() -> None:
    log = World().log(np.random.default_rng(2), shoppers=SHOPPERS)
    done = evaluate(replace(log, ratios=np.ones_like(log.ratios)))
    assert done.estimates["ips"] == done.logged
    assert (done.logged.difference_low, done.logged.difference_high) == (0.0, 0.0)


@pytest.mark.slow
def test_95_percent_intervals_contain_the_truth_in_93_to_97_percent_of_500_runs() -> None:
    world, truth, rng = World(), true_value(OTHER), np.random.default_rng(18)
    runs = [evaluate(world.log(rng, shoppers=SHOPPERS)) for _ in range(RUNS)]
    for name in ("ips", "snips", "dr"):
        covered = np.mean([run.estimates[name].low <= truth <= run.estimates[name].high for run in runs])
        assert 0.93 <= covered <= 0.97, name
        assert np.mean([run.estimates[name].value for run in runs]) == pytest.approx(truth, rel=0.01), name
    change = truth - true_value(Exploration(temperature=1.0))
    found = [run.estimates["snips"] for run in runs]
    assert 0.93 <= np.mean([one.difference_low <= change <= one.difference_high for one in found]) <= 0.97
    widths = {
        name: np.mean([run.estimates[name].high - run.estimates[name].low for run in runs]) for name in ("ips", "dr")
    }
    assert widths["dr"] < widths["ips"]


def test_doubly_robust_is_right_with_a_wrong_model() -> None:
    wrong = np.random.default_rng(0).random((6, 2))
    world, rng = World(model=wrong), np.random.default_rng(3)
    runs = [evaluate(world.log(rng, shoppers=SHOPPERS)).estimates["dr"].value for _ in range(100)]
    assert np.mean(runs) == pytest.approx(true_value(OTHER), rel=0.02)


def test_a_small_log_is_refused() -> None:
    with pytest.raises(TooLittleData, match="40 lists, and at least 100 are needed"):
        evaluate(lists_of([[1.0]], [[1.0]], 40))
    log = lists_of([[1.0]], [[1.0]], 400)
    with pytest.raises(TooLittleData, match="20 shoppers"):
        evaluate(replace(log, shoppers=log.shoppers % 20))
    with pytest.raises(TooLittleData, match="0 rewards"):
        evaluate(replace(log, rewards=np.zeros_like(log.rewards)))
    with pytest.raises(TooLittleData, match=r"count as 2\.0 lists"):
        evaluate(replace(log, ratios=np.where(np.arange(400)[:, None] < 2, 200.0, 0.0)), clip=1e9)


def test_what_the_logged_lists_could_not_show_is_refused() -> None:
    # Half of the lists of the other setting were never shown, so half of the weight is missing.
    with pytest.raises(NoSupport, match="only 50% of what the other setting would show down to position 1"):
        evaluate(lists_of([[1.0], [0.0]], [[1.0], [1.0]], 400))
    with pytest.raises(NoSupport, match="only 0%"):
        evaluate(lists_of([[0.0]], [[1.0]], 400))
