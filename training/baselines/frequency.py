"""Personal frequency with popularity: the baseline for next-basket recommendation.

Arrives: an `EvaluationSplit`. Leaves: a `FittedBaseline`. Next: `training.baselines.contenders` names it. In data
without repeats, only the popularity part changes the ranking.
"""

from dataclasses import dataclass
from math import inf

from training.baselines.gate import PersonalFrequency, RecentPopularity
from training.baselines.popularity import half_lives
from training.baselines.tuning import FittedBaseline, Tuning, settings_of
from training.data.event_log import EventLog
from training.data.splits import EvaluationSplit
from training.options import TrainingOptions
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

SPAN_SHARES = (1.0, 4.0, 16.0, 64.0)
WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class FrequencySettings:
    half_life_hours: float = inf
    """Half-life of the user's own counts."""
    popularity_half_life_hours: float = inf
    popularity_weight: float = 0.3


def fit_personal_frequency(split: EvaluationSplit, options: TrainingOptions) -> FittedBaseline:
    """Fit log(1 + 100 · own decayed count) + weight · log(1 + decayed count of all users).

    Both half-lives and the weight are tuned.
    """
    tuning = Tuning(split, "personal-frequency", options.progress)

    def build(log: EventLog, settings: FrequencySettings, popularity: RecentPopularity) -> PersonalFrequency:
        repeat = PersonalRepeat.counting(log, (settings.half_life_hours,))
        return PersonalFrequency(repeat, popularity, settings.popularity_weight)

    popular = {life: RecentPopularity(Trend.fit(split.past, (life,))) for life in half_lives(split)}
    own = (inf, *(split.past.span_hours / share for share in SPAN_SHARES)) if split.timed else (inf,)
    settings, _ = tuning.greedy(
        FrequencySettings(),
        lambda candidate: build(split.past, candidate, popular[candidate.popularity_half_life_hours]),
        {"half_life_hours": own, "popularity_half_life_hours": tuple(popular), "popularity_weight": WEIGHTS},
        shares=(0.0, 0.9),
    )
    popularity = RecentPopularity(Trend.fit(split.known, (settings.popularity_half_life_hours,)))
    tuning.report("fitted", 1.0)
    return FittedBaseline(
        scorer=build(split.known, settings, popularity),
        num_parameters=split.num_items,
        settings=settings_of(settings),
    )
