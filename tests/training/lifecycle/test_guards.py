"""Guards: a sound candidate has no objections, and each kind of fault has its own."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from graphstore.session import open_engine, write
from graphstore.snapshots.snapshot import build_snapshot
from tests.databases import migrated_sqlite
from tests.training import toy_shop
from training.config import TrainingConfig
from training.data.event_log import GrownLog
from training.data.windows import Window
from training.evaluation.ranking import CUTOFFS, METRIC, Evaluation, evaluate, evaluate_lists
from training.features.snapshot_features import featurize
from training.lifecycle.guards import LEAST_COMMON, SCORE_MS, SIZE_MB, Opponent, inspect
from training.lifecycle.trial import TrialResult, full_trial
from training.models.candidate import Candidate
from training.options import TrainingOptions
from training.terms.trend import Trend


@dataclass(frozen=True)
class Changed(Candidate):
    """A candidate whose scores are changed after the sum."""

    change: Callable[[Tensor], Tensor] = torch.clone

    def __call__(self, histories, *, as_of):
        return self.change(super().__call__(histories, as_of=as_of))


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> TrialResult:
    directory = tmp_path_factory.mktemp("guards")
    engine = open_engine(migrated_sqlite(directory / "graph.db"))
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=10)
        closing = toy_shop.closing_time(connection)
    snapshot = build_snapshot(engine, directory / "snapshots", as_of=closing, created_at=0, featurize=featurize)
    engine.dispose()
    return full_trial(
        snapshot, kind="closed_form", champion=None, config=TrainingConfig(), options=TrainingOptions(seed=0)
    )


def objections(trial: TrialResult, champion: Evaluation | None, measures=None, *, is_update=True) -> list[str]:
    opponent = champion and Opponent(champion, measures or {})
    return inspect(trial, opponent, is_update=is_update, min_coverage_ratio=0.5)[0]


def changed(trial: TrialResult, change: Callable[[Tensor], Tensor]) -> TrialResult:
    candidate = Changed(trial.candidate.terms, trial.candidate.blend, change)
    return replace(trial, candidate=candidate, evaluation=evaluate(candidate, trial.window))


def with_lists(trial: TrialResult, lists: np.ndarray, window: Window | None = None) -> TrialResult:
    window = window or trial.window
    return replace(trial, window=window, evaluation=evaluate_lists(lists, window, cutoffs=CUTOFFS))


def test_a_sound_candidate_has_no_objections_and_is_measured(sound):
    found, measures = inspect(sound, Opponent(sound.evaluation, {}), is_update=True, min_coverage_ratio=0.5)
    assert found == []
    assert measures[SCORE_MS] > 0
    assert measures[SIZE_MB] > 0
    assert objections(sound, None) == []


def without_half(scores: Tensor) -> Tensor:
    return scores.index_fill(1, torch.arange(0, scores.size(1), 2), -torch.inf)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda scores: scores * 1e30, "a served score ends"),
        (lambda scores: torch.zeros_like(scores), "do not tell"),
        (lambda scores: torch.full_like(scores, torch.nan), "not finite"),
        (without_half, "cannot list 12 of the 24"),
        (lambda scores: scores + 5e3, "half precision"),
    ],
)
def test_scores_that_cannot_be_served(sound, change, word):
    (first, *_) = objections(changed(sound, change), None)
    assert word in first


def test_scores_that_are_sure_and_wrong(sound, monkeypatch):
    monkeypatch.setattr("training.lifecycle.guards.LISTED", 2)
    (objection,) = objections(changed(sound, lambda scores: scores * -1e3), None)
    assert objection.startswith("scores expect 100.0% of the targets in the lists")
    assert objections(sound, None) == []


def test_a_candidate_that_knows_what_judges_it_and_one_that_misses_the_newest_events(sound):
    for end, start, word in ((None, sound.split.test, "has learned"), (sound.split.validation, 0, "stale")):
        candidate = copy.deepcopy(sound.candidate)
        trend = next(term for term in candidate.terms if isinstance(term, Trend))
        if word == "stale":
            past = sound.dataset.log.between(end=end)
            candidate.terms[candidate.terms.index(trend)] = Trend.fit(past, trend.half_lives_hours)
        else:
            trend.update(GrownLog.since(sound.dataset.log, start))
        (objection,) = objections(replace(sound, candidate=candidate), None)
        assert word in objection


def test_lists_that_cover_little_and_only_what_is_popular(sound):
    champion = sound.evaluation
    trial = with_lists(sound, np.tile(champion.lists[0], (len(champion.users), 1)))
    cut = np.where(np.arange(champion.lists.shape[1]) < 3, trial.evaluation.lists, -1)
    assert any("lists cover" in text for text in objections(with_lists(sound, cut), champion))
    log = sound.dataset.log.between(end=sound.split.test)
    order = np.argsort(np.bincount(log.items, minlength=sound.window.num_items))
    rare, popular = (
        evaluate_lists(np.tile(items, (len(champion.users), 1)), sound.window, cutoffs=CUTOFFS)
        for items in (np.append(order[:5], [-1] * 15), np.append(order[-5:], [-1] * 15))
    )
    assert any("more popular" in text for text in objections(replace(sound, evaluation=popular), rare))
    assert not any("more popular" in text for text in objections(replace(sound, evaluation=rare), popular))


def test_cold_users_that_lose_everything(sound):
    everyone = np.ones(len(sound.evaluation.users), dtype=bool)
    champion = replace(sound.evaluation, cold=everyone)
    nothing = {**champion.per_user, METRIC: np.zeros(len(everyone))}
    worse = replace(sound, evaluation=replace(champion, per_user=nothing))
    assert any("cold users lose" in text for text in objections(worse, champion))
    a_little = {**champion.per_user, METRIC: champion.per_user[METRIC] * 0.8}
    assert objections(replace(sound, evaluation=replace(champion, per_user=a_little)), champion) == []


def test_new_items_that_nobody_finds_any_more(sound):
    """Targets without an earlier event: an item that the champion lists, and the candidate does not."""
    log = sound.dataset.log
    newcomer = int(sound.window.targets[0])
    before = log.between(end=sound.split.test)
    kept = np.flatnonzero((log.items != newcomer) | (log.times >= sound.split.test))
    assert len(kept) < len(log)
    assert len(before) < len(log)
    dataset = replace(sound.dataset, log=log.take(kept))
    everybody = np.full((len(sound.window), 20), -1)
    everybody[:, 0] = newcomer
    champion = evaluate_lists(everybody, sound.window, cutoffs=CUTOFFS)
    window = replace(
        sound.window,
        targets=np.full(len(sound.window), newcomer),
        offsets=np.arange(len(sound.window) + 1),
    )
    trial = replace(with_lists(sound, np.full_like(everybody, -1), window), dataset=dataset)
    assert any("new items lose: 0 found" in text for text in objections(trial, champion, is_update=False))


def test_an_update_that_is_no_better_keeps_most_of_the_lists_and_another_model_need_not(sound):
    items = sound.window.num_items
    one, other = (
        evaluate_lists(np.tile(part, (len(sound.window), 1)), sound.window, cutoffs=CUTOFFS)
        for part in (np.append(np.arange(5), [-1] * 15), np.append(np.arange(items - 5, items), [-1] * 15))
    )
    worse, better = sorted((one, other), key=lambda found: found.per_user[METRIC].mean())
    assert worse.per_user[METRIC].mean() < better.per_user[METRIC].mean()
    update = replace(sound, evaluation=worse)
    assert any(f"an update keeps {LEAST_COMMON:.0%}" in text for text in objections(update, better))
    assert not any("an update keeps" in text for text in objections(update, better, is_update=False))
    swapped = replace(sound, evaluation=better)
    assert not any("an update keeps" in text for text in objections(swapped, worse))


def test_a_model_that_is_far_slower_or_larger_than_the_champion(sound, monkeypatch):
    monkeypatch.setattr("training.lifecycle.guards.SLOW_MS", 0.0)
    monkeypatch.setattr("training.lifecycle.guards.SMALL_MB", 0.0)
    found = objections(sound, sound.evaluation, {SCORE_MS: 1e-9, SIZE_MB: 1e-9})
    assert [text.split(",")[0].split()[0] for text in found] == ["a", "its"]
    assert objections(sound, sound.evaluation, {SCORE_MS: 1e9, SIZE_MB: 1e9}) == []
