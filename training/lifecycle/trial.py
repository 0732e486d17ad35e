"""Trial: evaluates a candidate, the baselines and the champion on one window that no model was fitted on.

Arrives: a snapshot, the champion. Leaves: `TrialResult` with all evaluations. Next: `training.lifecycle.run` passes it
to the gate.

A full trial (closed_form, graphsage) fits the terms on the past and the blend on the validation window. Then the terms
learn the validation window, and the test window evaluates the candidate. An incremental trial does the same with three
parts of the events since the champion, and starts with the champion's terms. The champion is evaluated as it serves:
its terms as fitted, its trend updated to the start of the window.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from torch import Tensor

from graphstore.snapshots.eventlog import seen_by
from graphstore.snapshots.files import Snapshot
from graphstore.tables import HOUR_MS
from training.baselines.gate import (
    LINEAR_ITEM_MODEL,
    RECENT_POPULARITY,
    Baseline,
    LinearItemModel,
    RecentPopularity,
    recent_popularity,
    tune_baselines,
    tune_popularity,
)
from training.config import TrainingConfig
from training.data.dataset import Dataset, TimeSplit, full_split, incremental_split, should_recommend_repeats
from training.data.event_log import GrownLog
from training.data.newest_events import LEFT_OUT
from training.data.windows import Window
from training.evaluation.ranking import Evaluation, Scorer, evaluate
from training.features.items import ItemEncoder, fit_item_encoder
from training.lifecycle.registry import CHAMPION
from training.models.bundle import load_bundle, snapshot_of
from training.models.candidate import OTHER_ITEMS, Candidate, new_events_window, unknown_share
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import find_term
from training.terms.trend import Trend


@dataclass(frozen=True)
class TrialResult:
    """The evaluations on the test window, which begins at `split.test`."""

    candidate: Candidate
    dataset: Dataset
    split: TimeSplit
    repeats: bool
    encoder: ItemEncoder | None
    features: Tensor | None
    window: Window
    """The test window."""
    popularity: RecentPopularity
    """The baseline, tuned."""
    evaluation: Evaluation
    comparison: dict[str, Evaluation]
    """The evaluations of the baselines, and of the champion when there is one."""
    notes: list[str]
    """Remarks that a reader of the comparison must know."""

    def learn_test_window(self) -> None:
        """Let the candidate's terms learn the test window, after the evaluation."""
        self.candidate.advance(self.dataset.log, self.split.test, None, self.features)

    def recommender(self, model_version: str, *, kind: str, fresh: bool) -> Recommender:
        """Return the candidate as a model for serving. `fresh`: it has learned the test window, too."""
        return Recommender(
            model_version=model_version,
            kind=kind,
            # The time of the newest event and not of the snapshot, so later events of a quiet hour are still new.
            as_of=self.dataset.as_of if fresh else self.split.test,
            repeats=self.repeats,
            item_ids=self.dataset.item_ids,
            item_keys=self.dataset.item_keys,
            available=self.dataset.catalogue.available,
            terms=self.candidate.terms,
            blend=self.candidate.blend,
            encoder=self.encoder,
        )


def _notes(dataset: Dataset) -> list[str]:
    return [f"{dataset.left_out:,} events are not learned, {LEFT_OUT}"] if dataset.left_out else []


def full_trial(
    snapshot: Snapshot,
    *,
    kind: Literal["closed_form", "graphsage"],
    champion: Recommender | None,
    config: TrainingConfig,
    options: TrainingOptions,
) -> TrialResult:
    """Fit a model from scratch and evaluate it. The fit of GraphSAGE saves its state in the checkpoint and resumes it.

    Raises `TooFewEvents` when the snapshot cannot be split in three.

    A champion that ends before the test window is evaluated as it is. When the champion has seen the window and all its
    terms are closed-form, it is rebuilt without the window from the terms of this run. A champion with GraphSAGE is
    evaluated as it is, which favours it.
    """
    seed, progress = options.seed, options.progress
    dataset = Dataset.from_snapshot(snapshot)
    split = full_split(
        dataset.log, champion_as_of=champion.as_of if champion else None, min_users=config.gate_min_users
    )
    repeats = should_recommend_repeats(dataset, split, config=config)
    progress("tuning the baselines", 0.1)
    baselines, linear_filter = _baselines(dataset, split, repeats=repeats, config=config, seed=seed)
    encoder = None
    if kind == "graphsage":
        progress("item features", 0.15)
        past = dataset.log.between(end=split.validation)
        encoder = fit_item_encoder(
            dataset.catalogue, past.items, text_encoder=config.text_encoder, name_encoding=config.name_encoding
        )
    features = encoder.transform(dataset.catalogue) if encoder else None
    progress("fitting the terms", 0.2)
    validation = split.validation_window(dataset.log, repeats=repeats)
    candidate = Candidate.fitted(
        dataset.log.between(end=split.validation),
        validation,
        filters=FilterBank([linear_filter]),
        features=features,
        horizon_ms=split.test - split.validation,
        config=config,
        options=options.part(0.2, 0.7, "GraphSAGE"),
    )
    opponent: Scorer | None = as_served(champion, dataset, split.test) if champion else None
    notes = _notes(dataset)
    if champion is not None and champion.as_of > split.test:
        if not all(term.closed_form for term in champion.terms):
            notes.append("the champion has seen the test window: the comparison favours it")
        else:
            # It shares its terms with the candidate. One update serves both.
            names = {term.name for term in champion.terms}
            opponent = candidate.select_terms(names, validation, config=config, seed=seed)
            notes.append("the champion was rebuilt without the test window")
    progress("evaluation", 0.75)
    candidate.advance(dataset.log, split.validation, split.test, features)
    window = _test_window(dataset, split, repeats=repeats, config=config, seed=seed)
    # The candidate's filter has learned the window, and the baseline is the same filter, so it is not solved again.
    updated = {LINEAR_ITEM_MODEL: LinearItemModel(linear_filter.variant())}
    return TrialResult(
        candidate=candidate,
        dataset=dataset,
        split=split,
        repeats=repeats,
        encoder=encoder,
        features=features,
        window=window,
        popularity=recent_popularity(baselines),
        evaluation=evaluate(candidate, window),
        comparison=_comparison(baselines, opponent, dataset, split, window, updated=updated),
        notes=notes,
    )


def incremental_trial(
    snapshot: Snapshot, *, champion_bundle: Path, config: TrainingConfig, options: TrainingOptions
) -> TrialResult:
    """Update the champion's terms with newer events. Raises `TooFewEvents` when these cannot be split in three.

    Items of the champion keep their rows. New items come after them.
    """
    seed, progress = options.seed, options.progress
    champion = load_bundle(champion_bundle)
    dataset = Dataset.from_snapshot(snapshot, first_keys=champion.item_keys, first_ids=champion.item_ids)
    dataset = dataset.since_model(champion.as_of, seen=seen_by(snapshot_of(champion_bundle)))
    split = incremental_split(dataset.log, since=champion.as_of)
    features = champion.encoder.transform(dataset.catalogue) if champion.encoder else None
    progress("the opponents", 0.1)
    window = _test_window(dataset, split, repeats=champion.repeats, config=config, seed=seed)
    new = new_events_window(champion, dataset.log, end=split.test)
    popularity = _recent_popularity(champion, dataset, new.sample(config.tuning_users, seed=seed), end=split.test)
    comparison = {  # before the champion's terms learn
        RECENT_POPULARITY: evaluate(popularity, window),
        CHAMPION: evaluate(as_served(champion, dataset, split.test), window),
    }
    progress("learning the new events", 0.3)
    if unknown_share(champion, dataset.log, end=split.test) > OTHER_ITEMS:
        candidate = Candidate.from_champion_of_other_items(
            champion, dataset, split, features=features, config=config, seed=seed
        )
    else:
        candidate = Candidate.from_champion(champion, new, config=config, seed=seed)
        candidate.advance(dataset.log, champion.as_of, split.test, features, late=dataset.late)
    progress("evaluation", 0.75)
    return TrialResult(
        candidate=candidate,
        dataset=dataset,
        split=split,
        repeats=champion.repeats,
        encoder=champion.encoder,
        features=features,
        window=window,
        popularity=popularity,
        evaluation=evaluate(candidate, window),
        comparison=comparison,
        notes=_notes(dataset),
    )


def _recent_popularity(champion: Recommender, dataset: Dataset, window: Window, *, end: int) -> RecentPopularity:
    """Return recent popularity at the time `end` (epoch ms), with the half-life that is best on the new `window`.

    It counts with a copy of the champion's trend, because a fit would count all events again.
    """
    trend = copy.copy(find_term(champion.terms, Trend)) or Trend.fit(dataset.log.between(end=champion.as_of))
    popularity = tune_popularity(trend, window)
    popularity.update(GrownLog.since(dataset.log, champion.as_of, end))
    return popularity


def as_served(champion: Recommender, dataset: Dataset, as_of: int) -> Scorer:
    """Return the champion as it serves at a time (epoch ms): near-line keeps its trend up to date.

    The scorer has the item order of `dataset`. The champion itself keeps its trend.
    """
    champion = champion.copy()
    hour = champion.as_of // HOUR_MS * HOUR_MS  # a refresh replaces whole hours
    log = dataset.log.between(hour, as_of)
    champion.refresh_trend(log.times // HOUR_MS, dataset.item_keys[log.items], np.ones(len(log), dtype=np.int64))
    return champion.aligned_scorer(dataset.item_keys)


def _baselines(
    dataset: Dataset, split: TimeSplit, *, repeats: bool, config: TrainingConfig, seed: int
) -> tuple[dict[str, Baseline], LinearFilter]:
    window = split.validation_window(dataset.log, repeats=repeats).sample(config.tuning_users, seed=seed)
    return tune_baselines(dataset.log.between(end=split.validation), window)


def _test_window(dataset: Dataset, split: TimeSplit, *, repeats: bool, config: TrainingConfig, seed: int) -> Window:
    return Window.cut(dataset.log, start=split.test, repeats=repeats, max_users=config.evaluation_users, seed=seed)


def _comparison(
    baselines: Mapping[str, Baseline],
    opponent: Scorer | None,
    dataset: Dataset,
    split: TimeSplit,
    window: Window,
    *,
    updated: Mapping[str, Baseline],
) -> dict[str, Evaluation]:
    """Evaluate baselines and champion. Like the candidate, the baselines first learn the validation window.

    The baselines in `updated` have learned it already.
    """
    for name, baseline in baselines.items():
        if name not in updated:
            baseline.update(GrownLog.since(dataset.log, split.validation, split.test))
    scorers: dict[str, Scorer] = {**baselines, **updated}
    if opponent is not None:
        scorers[CHAMPION] = opponent
    return {name: evaluate(scorer, window) for name, scorer in scorers.items()}
