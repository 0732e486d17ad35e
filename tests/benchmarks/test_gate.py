"""The benchmark of the gate: its draws have the true effects, and its figures have the told form."""

import json

import numpy as np
import pytest

from benchmarks import gate
from benchmarks.gate_draws import LOSS, Noise, Refreshes, Shop, before, measured, structural, true_changes
from benchmarks.gate_faults import BrokenChallengers
from benchmarks.shop_log import LogSize
from training.evaluation.ranking import METRIC
from training.lifecycle.gate import Contestants

SHOPS = Shop.all()


@pytest.fixture(params=SHOPS)
def shop(request) -> Shop:
    return SHOPS[request.param]


def test_drawn_differences_have_the_true_mean_and_equal_lists_stay_equal(shop):
    noise, every = Noise.of(shop.settings, shop.model), np.arange(len(shop.model))
    drawn = noise.drawn(every, 0.01)
    assert drawn.mean() == pytest.approx(0.01)
    assert (drawn[shop.settings == shop.model] == 0).all()


def test_a_window_has_the_true_levels(shop):
    window = Refreshes(shop, 400_000).window(np.random.default_rng(0), 0.98, 0.9)
    means = {name: float(value.per_user[METRIC].mean()) / shop.mean for name, value in vars(window).items()}
    assert means["challenger"] == pytest.approx(0.9, abs=0.01)
    assert means["champion"] == pytest.approx(0.98, abs=0.02)
    assert means["anchor"] == pytest.approx(1.0, abs=0.03)


def test_what_is_better_is_promoted_and_what_is_worse_is_not():
    shop = SHOPS["Online Retail II, all items"]
    assert structural(shop, 0.04, users=3000, runs=3, seed=0)["within_5_windows"] == 1.0
    assert structural(shop, -0.04, users=300, runs=3, seed=0)["any_of_100"] == 0.0


def test_the_gate_before_wants_nine_of_ten_resamples():
    champion = np.linspace(0, 1, 200)
    ahead = Contestants(measured(champion + 0.01), measured(champion), champion=measured(champion))
    equal = Contestants(measured(champion), measured(champion), champion=measured(champion))
    assert before(ahead, 0)
    assert not before(equal, 0)


def test_most_updates_gain_and_some_lose():
    changes = true_changes(np.random.default_rng(0), 20_000)
    assert 0.65 < (changes > 0).mean() < 0.8
    assert 0.005 < changes.mean() < 0.012


def test_a_lineage_that_loses_is_stopped_soon():
    lost = Refreshes(SHOPS["Online Retail II, all items"], 3000).lost_before_stop(runs=3, seed=0)
    assert 0 <= lost < 2 * LOSS


@pytest.mark.slow
def test_no_broken_challenger_is_promoted(monkeypatch):
    monkeypatch.setattr("benchmarks.gate_faults.SHOP", LogSize(edges=10_000, users=1_200, items=400))
    monkeypatch.setattr("benchmarks.shop_log.ITEMS_A_TASTE", 80)
    shop = BrokenChallengers(seed=0)
    tried = list(shop.tried(300))
    assert len({name for name, _, _ in tried}) == 8
    assert [found for found in tried if found[2]] == []
    assert shop.sound(300)


def test_the_report_has_the_told_form(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gate, "EFFECTS", (-0.04, 0.0, 0.04))
    monkeypatch.setattr("benchmarks.gate_draws.TRIES", 6)
    broken = {"tried": 3, "promoted": 0, "which": {}, "sound_promoted": [True]}
    monkeypatch.setattr(gate, "measure_broken", lambda users, *, seed: broken)
    out, picture = tmp_path / "gate.json", tmp_path / "gate.png"
    assert gate.main(["--json", str(out), "--plot", str(picture), "--users", "30", "--runs", "1"]) == 0
    found = json.loads(out.read_text())
    assert set(found) == {"structural", "refresh", "broken", "shops"}
    assert set(found["structural"]["30"]) == {"-0.04", "0.00", "0.04"}
    assert set(found["structural"]["30"]["0.04"]) == {"per_try", "any_of_100", "within_5_windows"}
    assert set(found["refresh"]["30"]["regret"]) == {"ours", "before", "always"}
    assert found["broken"]["tried"] == 3
    assert picture.stat().st_size > 1000
    assert "| +4 % | 30 |" in capsys.readouterr().out
