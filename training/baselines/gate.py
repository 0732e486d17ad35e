"""Baselines that a model must beat: recent popularity, a linear item model, personal frequency with popularity.

Arrives: a log to fit on and a validation window to tune on. Leaves: scorers with the same interface as a model. Next:
`training.evaluation.ranking` measures them beside the model on one window.

The baselines are strong on purpose: each uses decay in time, and NDCG@20 on the validation window of the blend chooses
its settings. Decay alone improves a linear model by 25 % and more on data with an order in time.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Protocol, TypeVar

from torch import Tensor

from training.data.event_log import AsOf, EventLog, GrownLog, Histories
from training.data.windows import Window
from training.evaluation.ranking import METRIC, Scorer, evaluate
from training.terms.linear_filter import FilterSettings, LinearFilter
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

RECENT_POPULARITY = "recent_popularity"
LINEAR_ITEM_MODEL = "linear_item_model"
PERSONAL_FREQUENCY = "personal_frequency"

SPAN_SHARES = (4.0, 16.0, 64.0, 256.0)
PROFILE_HALF_LIVES = (5.0, 20.0, 50.0, 100.0, inf)
REGULARISATIONS = (6.0, 2.0, 20.0)
"""The first one is kept while the profile is chosen."""
FREQUENCY_SPAN_SHARES = (1.0, 4.0, 16.0)
POPULARITY_WEIGHTS = (0.1, 0.3, 1.0)


S = TypeVar("S", bound=Scorer)


class Baseline(Protocol):
    """A scorer that can learn from new events."""

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor: ...

    def update(self, grown: GrownLog) -> None:
        """Learn from new events. The tuned settings stay."""
        ...


class RecentPopularity:
    """Scores every item by its decayed count, with one of the half-lives of a trend."""

    def __init__(self, trend: Trend, life: int = 0) -> None:
        self.trend = trend
        self.life = life

    @property
    def half_life_hours(self) -> float:
        return self.trend.half_lives_hours[self.life]

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        return self.trend.score(histories, as_of=as_of)[:, :, self.life]

    def update(self, grown: GrownLog) -> None:
        self.trend.update(grown)


class LinearItemModel:
    """EASE on the recency-decayed profile; the score is the raw response."""

    def __init__(self, linear_filter: LinearFilter) -> None:
        self.filter = linear_filter

    @property
    def num_parameters(self) -> int:
        return self.filter.num_weights

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        return self.filter.response(histories)

    def update(self, grown: GrownLog) -> None:
        self.filter.update(grown)


class PersonalFrequency:
    """log(1 + 100 · the user's own decayed count) + weight · recent popularity."""

    def __init__(self, repeat: PersonalRepeat, popularity: RecentPopularity, weight: float) -> None:
        self.repeat = repeat
        self.popularity = popularity
        self.weight = weight

    def __call__(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        own = self.repeat.score(histories, as_of=as_of)[:, :, 0]
        return own + self.weight * self.popularity(histories, as_of=as_of)

    def update(self, grown: GrownLog) -> None:
        """Update the own counts. `RecentPopularity` is a baseline of its own and is updated there."""
        self.repeat.update(grown)


def tune_popularity(trend: Trend, window: Window) -> RecentPopularity:
    """Return recent popularity with the half-life of `trend` that is best on the `window` that follows it."""
    return _best([RecentPopularity(trend, life) for life in range(len(trend.half_lives_hours))], window)


def tune_baselines(log: EventLog, window: Window) -> tuple[dict[str, Baseline], LinearFilter]:
    """Return the three baselines, and the filter of the linear one.

    They are fitted on `log` and tuned on the `window` that follows it, one setting after the other. Rejected: all
    combinations of settings, because a window is small and every evaluation on it overfits it a little.

    Rejected: a half-life of the filter's Gram matrix as one more setting. On three data sets it improved the filter
    alone by up to 15 %, and the sum of all terms not at all, because trend and profile weigh recency already.
    """
    popularity = tune_popularity(Trend.fit(log, (*(log.span_hours / share for share in SPAN_SHARES), inf)), window)

    fitted, *others = LinearFilter.fit_each(log, FilterSettings(), REGULARISATIONS)
    profiles = [fitted.variant(profile_half_life=half_life) for half_life in PROFILE_HALF_LIVES]
    chosen = _best([LinearItemModel(variant) for variant in profiles], window).filter
    half_life = chosen.settings.profile_half_life
    variants = [chosen, *(other.variant(profile_half_life=half_life) for other in others)]
    linear = _best([LinearItemModel(variant) for variant in variants], window)

    repeats = [PersonalRepeat.counting(log, (log.span_hours / share,)) for share in FREQUENCY_SPAN_SHARES]
    weights = POPULARITY_WEIGHTS
    frequency = _best([PersonalFrequency(repeat, popularity, weights[1]) for repeat in repeats], window)
    frequency = _best([PersonalFrequency(frequency.repeat, popularity, weight) for weight in weights], window)
    tuned: dict[str, Baseline] = {
        RECENT_POPULARITY: popularity,
        LINEAR_ITEM_MODEL: linear,
        PERSONAL_FREQUENCY: frequency,
    }
    # A copy: the model's filter and the baseline are updated separately.
    return tuned, linear.filter.variant()


def recent_popularity(baselines: Mapping[str, Baseline]) -> RecentPopularity:
    """Return recent popularity of the tuned baselines."""
    found = baselines[RECENT_POPULARITY]
    assert isinstance(found, RecentPopularity)
    return found


def _best(candidates: Sequence[S], window: Window) -> S:
    """Return the candidate with the best score on the window, the first when several are equal."""
    return max(candidates, key=lambda candidate: evaluate(candidate, window).metrics()[METRIC])
