"""Reports of experiments against counts by hand, and their errors over many looks."""

from dataclasses import replace
from math import inf, log

import numpy as np
import pytest
from sqlalchemy import Engine

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import attribute_now
from monitoring.experiments import interval, report, sample_ratio_p, stop_with_report
from serving import experiments
from serving.experiments import Experiment
from serving.routing import Arm
from tests.monitoring.conftest import HOUR_MS, NOON
from training.evaluation.sequential import ClusterSums, Estimate, always_valid, ratio_difference

TRY = Experiment("try", "home", "salt", (Arm("plain", 0.5), Arm("wide", 0.5)), "me", "", NOON)


def fill(
    engine: Engine, clicks: dict[str, list[int]], *, items: int = 4, bought: bool = False, time: int = NOON
) -> None:
    """One list of `items` items for each shopper of each arm; the first ones are clicked."""
    shown, events = [], []
    kind = EVENT_TYPES.index("purchase" if bought else "click")
    for arm, counts in clicks.items():
        for shopper, clicked in enumerate(counts):
            user, request = f"{arm}-{shopper}", f"{arm}-{shopper}-{time}"
            for place in range(items):
                row = ImpressionRow(
                    request, place, user, f"i{place}", "home", time, "m", f"try/{arm}", 1.0, 1.0, "batch"
                )
                shown.append(row)
            events += [
                InteractionRow(f"{request}-{place}", kind, user, f"i{place}", time, request_id=request)
                for place in range(clicked)
            ]
    with write(engine) as connection:
        insert_impressions(connection, shown)
        ingest_interactions(connection, events, now=time)
        attribute_now(connection)


def test_a_report_counts_shoppers_items_clicks_and_purchases(engine: Engine) -> None:
    fill(engine, {"plain": [1, 0, 2], "wide": [3, 4]})
    fill(engine, {"plain": [0, 1, 0], "wide": [0, 0]}, bought=True, time=NOON + 5)
    fill(engine, {"plain": [4], "other": [4]}, time=NOON - 5)  # before the start, and of another experiment
    with read(engine) as connection:
        found = report(connection, TRY, now=NOON + HOUR_MS)
        empty = report(connection, replace(TRY, name="none"), now=NOON + HOUR_MS)
    plain, wide = found.arms
    assert (plain.shoppers, plain.items, plain.clicks, plain.purchases) == (3, 24, 4, 1)  # a purchase is a click, too
    assert (wide.shoppers, wide.items, wide.clicks, wide.purchases) == (2, 16, 7, 0)
    assert plain.differences == {}
    assert wide.differences["ctr"].rate == 7 / 16
    assert wide.differences["ctr"].difference == pytest.approx(7 / 16 - 4 / 24)
    assert wide.differences["conversion"].difference == pytest.approx(-1 / 24)
    assert (found.status, found.start, found.end) == ("running", NOON, NOON + HOUR_MS)
    assert not found.sample_ratio_fault
    assert [arm.shoppers for arm in empty.arms] == [0, 0]
    assert (empty.arms[1].differences["ctr"].low, empty.arms[1].differences["ctr"].verdict) == (None, "not clear")
    assert empty.told()["arms"][1]["differences"]["ctr"]["high"] is None


@pytest.mark.parametrize(
    ("rates", "verdict"), [((0.1, 0.3), "better"), ((0.3, 0.1), "worse"), ((0.2, 0.2), "not clear")]
)
def test_the_verdict_of_many_shoppers(sqlite_engine: Engine, rates: tuple[float, float], verdict: str) -> None:
    rng = np.random.default_rng(3)
    arms = {name: rng.binomial(4, rate, 400).tolist() for name, rate in zip(("plain", "wide"), rates, strict=True)}
    fill(sqlite_engine, arms)
    with read(sqlite_engine) as connection:
        (_, wide) = report(connection, TRY, now=NOON + 1).arms
    told = wide.differences["ctr"]
    assert told.verdict == verdict
    assert told.low is not None and told.high is not None
    assert told.low < rates[1] - rates[0] < told.high
    assert (told.p_value < 0.05) == (verdict != "not clear")


def test_a_stopped_experiment_keeps_its_report(engine: Engine) -> None:
    with write(engine) as connection:
        experiments.start(connection, TRY)
    fill(engine, {"plain": [1, 2], "wide": [2, 2]}, time=NOON + 5)
    with write(engine) as connection:
        told = stop_with_report(connection, "try", now=NOON + 10)
        kept = experiments.get(connection, "try")
    assert (told.status, told.end) == ("stopped", NOON + 10)
    assert (kept.status, kept.stopped_at) == ("stopped", NOON + 10)
    assert kept.outcome == told.told()
    fill(engine, {"plain": [4], "wide": [4]}, time=NOON + 20)  # a late list of a reader that did not know yet
    with read(engine) as connection:
        assert report(connection, kept, now=NOON + 99) == told


def test_an_interval_against_one_made_for_the_true_size() -> None:
    # Ten standard errors, and a tenth of a percent: the mean over the scales costs little at each size.
    for error in (0.0002, 0.001, 0.005, 0.02, 0.1):
        found = interval(Estimate(0.0, error), alpha=0.05)
        best = always_valid(Estimate(0.0, error), alpha=0.05, expected=3 * error)
        assert found.high == -found.low
        assert 1.0 < found.high / best.high < 1.2
    assert interval(Estimate(0.1, inf), alpha=0.05).high == inf
    known = interval(Estimate(0.1, 0.01), alpha=0.05)
    assert known.log_e_value > 20 > -log(0.05)


@pytest.mark.slow
def test_two_equal_arms_are_seldom_called_different_at_any_of_many_looks() -> None:
    rng, runs, looks, shoppers = np.random.default_rng(4), 200, 16, 400
    wrong = 0
    for _ in range(runs):
        sums = []
        for _ in range(2):
            items = rng.poisson(3, (looks, shoppers)).cumsum(axis=0)  # the same shoppers come again
            mood = rng.choice([0.02, 0.1], shoppers)
            clicks = rng.binomial(np.diff(items, axis=0, prepend=0), mood).cumsum(axis=0)
            sums.append([ClusterSums.of(clicks[look], items[look]) for look in range(looks)])
        found = (interval(ratio_difference(one, other), alpha=0.05) for one, other in zip(*sums, strict=True))
        wrong += any(one.low > 0 or one.high < 0 for one in found)
    assert wrong / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


def test_hand_computed_sample_ratio() -> None:
    # One shopper in the first of two equal arms: Beta(51, 50) / Beta(50, 50) = 50 / 100, divided by 0.5 is 1.
    assert sample_ratio_p([1, 0], [0.5, 0.5]) == pytest.approx(1.0)
    # Two in the first: (50 · 51) / (100 · 101) / 0.25 = 1.0099.
    assert sample_ratio_p([2, 0], [0.3, 0.3]) == pytest.approx(1 / (50 * 51 / (100 * 101) / 0.25))
    assert sample_ratio_p([5100, 4900], [0.5, 0.5]) > 0.05
    assert sample_ratio_p([5300, 4700], [0.5, 0.5]) < 1e-4
    assert sample_ratio_p([900, 100], [0.9, 0.1]) == 1.0


def test_a_sound_division_is_seldom_called_a_fault_at_any_look() -> None:
    rng, experiments_run, looks = np.random.default_rng(8), 400, range(20, 2001, 20)
    wrong = 0
    for _ in range(experiments_run):
        first = np.cumsum(rng.random(2000) < 0.3)
        wrong += any(sample_ratio_p([int(first[n - 1]), n - int(first[n - 1])], [0.3, 0.7]) < 0.01 for n in looks)
    assert wrong / experiments_run <= 0.01 + 3 * (0.01 * 0.99 / experiments_run) ** 0.5
