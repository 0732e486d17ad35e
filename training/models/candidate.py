"""Candidate: terms and their blend, fitted on the past of a split and then updated with newer events.

Arrives: a `Dataset` and its `TimeSplit`, or the champion's terms. Leaves: a scorer to evaluate, later with terms that
know all events. Next: `training.lifecycle.run` evaluates it, then publishes or drops it.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import BoolArray
from training.blend.blend import Blend
from training.blend.fit import BlendSettings, fit_blend, sample_fit_window
from training.blend.selection import MIN_USERS, SMALL_L2, fit_selected, penalty_of_few
from training.config import TrainingConfig
from training.data.dataset import Dataset, TimeSplit
from training.data.event_log import AsOf, EventLog, GrownLog, Histories
from training.data.windows import Window
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.fit import NothingToLearn, fit_sage
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.habit.examples import HabitSettings, TooFewHabits
from training.terms.habit.term import Habit
from training.terms.protocol import ClosedFormTerm, Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

logger = logging.getLogger(__name__)

UPDATE_USERS = 400
"""The largest number of users to fit the blend of an update on."""

UPDATE_ANCHOR_USERS = 400
"""The strength of the champion's blend in an update (`BlendSettings.anchor_users`)."""

UPDATE_ITERATIONS = 15
"""The largest number of iterations of that fit."""

OTHER_ITEMS = 0.2
"""Above this share of events with unknown items, an update fits its blend after the terms have learned a part."""


@dataclass(frozen=True)
class Candidate:
    """Terms and their blend; a `training.evaluation.ranking.Scorer`."""

    terms: list[Term]
    blend: Blend

    @torch.no_grad()
    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        return self.blend.score(self.terms, histories, as_of=as_of)

    @classmethod
    def fitted(
        cls,
        past: EventLog,
        window: Window,
        *,
        filters: FilterBank,
        features: Tensor | None,
        horizon_ms: int,
        config: TrainingConfig,
        options: TrainingOptions,
    ) -> Self:
        """Fit the terms on `past`, and the blend on the validation `window` that follows it for `horizon_ms`.

        With `features` the terms include content and GraphSAGE. The fit of GraphSAGE saves its state in the checkpoint.
        `filters` are already fitted on the same past, by the tuning of the baselines.
        """
        seed, repeats = options.seed, window.repeats
        closed_form = closed_form_terms(
            past, filters=filters, features=features, repeats=repeats, horizon_ms=horizon_ms, seed=seed
        )
        terms: list[Term] = [*closed_form]
        if features is not None:
            sage_config = config.sage.model_copy(update={"repeats": repeats})
            try:
                terms.append(fit_sage(past, features, config=sage_config, options=options, validation=window))
            except NothingToLearn as error:
                logger.warning("the model is without GraphSAGE: %s", error)
        return cls(terms, _blend(terms, window, config=config, seed=seed))

    def select_terms(self, names: Collection[str], window: Window, *, config: TrainingConfig, seed: int) -> Self:
        """Return the terms with these names and a new blend. Call it before any term learns newer events."""
        terms = [term for term in self.terms if term.name in names]
        return type(self)(terms, _blend(terms, window, config=config, seed=seed))

    @classmethod
    def from_champion(cls, champion: Recommender, window: Window, *, config: TrainingConfig, seed: int) -> Self:
        """Fit a blend of the champion's terms on the `window` of new events (`new_events_window`).

        The blend starts at the champion's blend and is regularised towards it. The terms are the champion's own, so
        `advance` changes the champion.

        The blend sees the terms before they learn the new events. They are as fresh as those of a model that begins to
        serve, and one update for both blend and evaluation is enough.
        """
        window = window.sample(UPDATE_USERS, seed=seed)
        settings = blend_settings(config, users=len(window))
        settings = replace(settings, iterations=UPDATE_ITERATIONS, anchor_users=UPDATE_ANCHOR_USERS)
        return cls(champion.terms, champion.blend)._refitted(window, settings=settings, config=config, seed=seed)

    @classmethod
    def from_champion_of_other_items(
        cls,
        champion: Recommender,
        dataset: Dataset,
        split: TimeSplit,
        *,
        features: Tensor | None,
        config: TrainingConfig,
        seed: int,
    ) -> Self:
        """Let the champion's terms learn the first new events, then fit their blend on the events up to `split.test`.

        For a shop that has changed its catalogue: what the champion cannot list says nothing about its blend. The
        blend may move further from the champion's, and the terms learn in one more step.
        """
        learner = cls(champion.terms, champion.blend)
        learner.advance(dataset.log, champion.as_of, split.validation, features, late=dataset.late)
        window = split.validation_window(dataset.log, repeats=champion.repeats)
        settings = blend_settings(config, users=len(window))
        refitted = learner._refitted(window, settings=settings, config=config, seed=seed)
        refitted.advance(dataset.log, split.validation, split.test, features)
        return refitted

    def _refitted(self, window: Window, *, settings: BlendSettings, config: TrainingConfig, seed: int) -> Self:
        """Fit the blend again, from this blend and regularised towards it."""
        part = sample_fit_window(self.terms, window, memory_mb=config.blend_memory_mb, seed=seed)
        return replace(self, blend=fit_blend(self.terms, part, settings=settings, anchor=self.blend))

    def advance(
        self, log: EventLog, start: int, end: int | None, features: Tensor | None, *, late: BoolArray | None = None
    ) -> None:
        """Learn the events start <= time < end (epoch ms) of the log.

        The terms know all earlier events already, except those in `late` [num_events], which they learn, too.
        """
        for term in self.terms:
            if term.needs_features and features is None:
                raise ValueError(f"{term.title} needs item features for an update")
        grown = GrownLog.since(log, start, end, late=late)  # one for all terms: each reads it, and none keeps a copy
        for term in self.terms:
            term.update(grown, features=features)


def closed_form_terms(
    past: EventLog, *, filters: FilterBank, features: Tensor | None, repeats: bool, horizon_ms: int, seed: int
) -> list[ClosedFormTerm]:
    """Return every term except GraphSAGE, fitted on `past`: filters, trend, repeats or factorisation, content.

    `filters` are fitted already. With repeats the user's own counts are a term, and a habit model of the next
    `horizon_ms` where the past is long enough for it; else a factorisation is.
    `BlendSearch.with_best_factorisation` gives the reason.
    """
    terms: list[ClosedFormTerm] = [filters, Trend.fit(past)]
    if repeats:
        terms.append(PersonalRepeat.fit(past))
        try:
            terms.append(Habit.fit(past, HabitSettings(horizon_ms), seed=seed))
        except TooFewHabits as error:
            logger.info("the model is without habits: %s", error)
    else:
        terms.append(AlsTerm.fit(past, seed=seed))
    if features is not None and not (content := Content.of(features)).is_empty:
        terms.append(content)
    return terms


def blend_settings(config: TrainingConfig, *, users: int = MIN_USERS) -> BlendSettings:
    """Return the configured penalty, the same for known and cold users, and the configured focus.

    Without a configured penalty it depends on the `users` of the window. A full fit of few users chooses it
    (`penalty_of_few`); an update of few has the strong one, whatever was chosen. Rejected: its champion's. With it,
    updates on 30 to 199 users of three shops ranked the next events equally well or up to 7 % worse.
    """
    settings, l2, focus = BlendSettings(), config.blend_l2, config.blend_focus
    if l2 is None and users < MIN_USERS:
        l2 = SMALL_L2
    if l2 is not None:
        settings = settings.with_penalty(l2)
    return settings if focus is None else replace(settings, focus=focus)


def unknown_share(champion: Recommender, log: EventLog, *, end: int) -> float:
    """Return the share of the events from the champion to `end` (epoch ms) whose items the champion cannot list."""
    items = log.between(champion.as_of, end).items
    return float((items >= champion.num_items).mean()) if len(items) else 0.0


def new_events_window(champion: Recommender, log: EventLog, *, end: int) -> Window:
    """Return the window of the events from the champion to `end` (epoch ms), with the champion's items only.

    The champion could not list newer items. As targets they would give the trend too small a weight, exactly when a
    shop needs the trend.
    """
    known = log.between(end=end)
    known = replace(known.take(np.flatnonzero(known.items < champion.num_items)), num_items=champion.num_items)
    return Window.cut(known, start=champion.as_of, repeats=champion.repeats)


def _blend(terms: list[Term], window: Window, *, config: TrainingConfig, seed: int) -> Blend:
    settings = blend_settings(config)
    if config.blend_l2 is None and len(window) < MIN_USERS:
        l2 = penalty_of_few(terms, window, settings=settings, memory_mb=config.blend_memory_mb, seed=seed)
        settings = settings.with_penalty(l2)
    # Rejected: a fit of each variant, as `benchmark` does. It cost a first champion a minute.
    return fit_selected(terms, window, settings=settings, memory_mb=config.blend_memory_mb, seed=seed, refit=False)[0]
