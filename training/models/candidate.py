"""A candidate: terms with their blend, fitted on the past of a split, moved forward in time.

Arrives: a `Dataset` and its `TimeSplit`, or the champion's terms. Leaves: a scorer to judge, then terms that know
everything. Next: `training.lifecycle.run` judges, publishes or drops it.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from training.blend.blend import Blend
from training.blend.fit import BlendSettings, fit_blend, fitting_part
from training.config import TrainingConfig
from training.data.dataset import Dataset, TimeSplit
from training.data.event_log import EventLog, Histories, Moment
from training.data.windows import Window
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.fit import NothingToLearn, fit_sage
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.protocol import ClosedFormTerm, Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """Terms and weights; a `training.evaluation.ranking.Scorer`."""

    terms: list[Term]
    blend: Blend

    @torch.no_grad()
    def __call__(self, histories: Histories, *, as_of: Moment) -> Tensor:
        return self.blend.score(self.terms, histories, as_of=as_of)

    @classmethod
    def fitted(
        cls,
        past: EventLog,
        window: Window,
        *,
        filters: FilterBank,
        features: Tensor | None,
        repeats: bool,
        config: TrainingConfig,
        options: TrainingOptions,
    ) -> Self:
        """Terms fitted on `past`, the blend on the validation `window` after it.

        With `features` content and GraphSAGE are among them; the fit of GraphSAGE keeps its state in the checkpoint.
        `filters` were fitted on the same past while the baselines were tuned.
        """
        seed = options.seed
        terms: list[Term] = [*closed_form_terms(past, filters=filters, features=features, repeats=repeats, seed=seed)]
        if features is not None:
            sage_config = config.sage.model_copy(update={"repeats": repeats})
            try:
                terms.append(fit_sage(past, features, config=sage_config, options=options, validation=window))
            except NothingToLearn as error:
                logger.warning("the model is without GraphSAGE: %s", error)
        return cls(terms, _blend(terms, window, config=config, seed=seed))

    def narrowed(self, names: Collection[str], window: Window, *, config: TrainingConfig, seed: int) -> Self:
        """The terms of these names with a blend of their own, before either has moved forward."""
        terms = [term for term in self.terms if term.name in names]
        return type(self)(terms, _blend(terms, window, config=config, seed=seed))

    @classmethod
    def from_champion(
        cls,
        champion: Recommender,
        dataset: Dataset,
        split: TimeSplit,
        *,
        features: Tensor | None,
        config: TrainingConfig,
        seed: int,
    ) -> Self:
        """The champion's terms after the first new events, with a blend fitted on those that follow and drawn to the
        old weights. `champion` is used up.

        The blend must see terms as fresh as they will serve: fitted with terms that do not know the newest items, it
        learns to distrust the trend just when that is what a shop needs.
        """
        learner = cls(champion.terms, champion.blend)
        learner.advance(dataset.log, champion.as_of, split.validation, features)
        window = split.validation_window(dataset.log, repeats=champion.repeats)
        blend = _blend(champion.terms, window, config=config, seed=seed, anchor=champion.blend)
        return cls(champion.terms, blend)

    def advance(self, log: EventLog, start: int, end: int | None, features: Tensor | None) -> None:
        """Take in the events start <= time < end of the log, of which everything before is known already."""
        for term in self.terms:
            if term.needs_features and features is None:
                raise ValueError(f"{term.title} needs item features for an update")
        past, events = log.between(end=start), log.between(start, end)
        for term in self.terms:
            term.update(events, past=past, features=features)


def closed_form_terms(
    past: EventLog, *, filters: FilterBank, features: Tensor | None, repeats: bool, seed: int
) -> list[ClosedFormTerm]:
    """Every term but GraphSAGE, fitted on `past`: the `filters` that were, trend, content of `features`.

    And own repeats, or a factorisation where there are none (`BlendSearch.with_best_factorisation` says why).
    """
    terms: list[ClosedFormTerm] = [filters, Trend.fit(past)]
    terms.append(PersonalRepeat.fit(past) if repeats else AlsTerm.fit(past, seed=seed))
    if features is not None and not (content := Content.of(features)).is_silent:
        terms.append(content)
    return terms


def blend_settings(config: TrainingConfig) -> BlendSettings:
    """With the configured penalty, for shoppers with a past and for strangers alike, and the configured focus."""
    settings, l2, focus = BlendSettings(), config.blend_l2, config.blend_focus
    if l2 is not None:
        settings = replace(settings, l2=l2, unknown_l2=l2)
    return settings if focus is None else replace(settings, focus=focus)


def _blend(
    terms: list[Term], window: Window, *, config: TrainingConfig, seed: int, anchor: Blend | None = None
) -> Blend:
    part = fitting_part(terms, window, memory_mb=config.blend_memory_mb, seed=seed)
    return fit_blend(terms, part, settings=blend_settings(config), anchor=anchor)
