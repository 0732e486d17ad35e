"""Selection: which terms count in the sum, and how much, by the lists of users that the weights were not fitted on.

Arrives: fitted terms, the validation window, the settings of the likelihood. Leaves: a multiplier for each term. Next:
`training.blend.fit` fits the blend with them, on all users of the window, for `training.search.blend_search`.

The likelihood is over the whole catalogue, and pays for targets far down, where popularity is all there is. On large
data without times this cost the top of the lists 4 to 8 %: the filter alone ranked better than the sum. So the sum
competes, out of fold, with each of its terms alone, with a sum that has no trend, and with sums in which one term
after the other counts less or more. What is chosen is never below the best of them on these users.

A term counts less or more only where that is better by a standard error: in a small window the best of many variants is
mostly the luckiest. A term alone needs no such margin, so the sum is never below it; only with
fewer than 200 users it does.

A retrain has no minutes for a fit of each variant. There the sum competes with its parts alone, which take its own
weights (`refit` is false): two fits on some hundred users, and each user's lists once. Before that, fewer than
`MIN_USERS` users choose one of two penalties (`penalty_of_few`): twelve fits on less than a hundred users each.

Rejected: a grid over the weights themselves, because it overfits a window of some hundred users. A multiplier for a
whole term has few values, and the likelihood has already found the proportions within a term.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from graphstore.arrays import Float64Array
from training.blend.blend import Blend
from training.blend.fit import BlendSettings, fit_blend, sample_fit_window
from training.blend.folds import folds_of, judged
from training.data.windows import Window
from training.terms.protocol import Term

logger = logging.getLogger(__name__)

MIN_USERS = 200
"""A smaller window cannot tell the better of many variants: there the best one is mostly the luckiest."""

FEW_ERRORS = 2.0
"""There a part must be better than the sum by so many standard errors of the difference to stand alone."""

SMALL_L2 = 0.5
"""The penalty of the likelihood in such a window, unless another one is clearly better."""

FACTORS = (0.4, 0.7, 1.5, 2.5)
"""What the multiplier of one term is tried with, times its current one."""

ROUNDS = 3
"""The largest number of terms whose multiplier is changed one after the other."""

DIVISIONS = 3
"""Random divisions of the users into halves in a window of fewer than `FEW_USERS`. A larger one has one division."""

FEW_USERS = 1_000

ALL, WITHOUT_TREND, CHOSEN = "all", "without trend", "chosen"
"""What variants of the sum are called; a term alone has its own name."""


@dataclass(frozen=True)
class Selection:
    """The multiplier of each term by name, and what the variants reached."""

    multipliers: Mapping[str, float]
    ndcg: Mapping[str, float] = field(default_factory=dict)
    """Mean NDCG@20 out of fold of the sum (`all`), of `without trend`, of each term alone, and of what was `chosen`."""
    per_user: Float64Array = field(default_factory=lambda: np.empty(0))
    """The last one of each judged user [U]. Selections of the same window and seed judge the same users."""
    rounds: int = 0
    """How often other multipliers were tried."""


def _always(_rounds: int) -> bool:
    return True


def fit_selected(
    terms: Sequence[Term],
    window: Window,
    *,
    settings: BlendSettings,
    memory_mb: int,
    seed: int,
    refit: bool = True,
    another_round: Callable[[int], bool] = _always,
) -> tuple[Blend, Selection]:
    """Return the blend with the selected multipliers, fitted on as many users of the window as memory allows."""
    selection = select(
        terms, window, settings=settings, memory_mb=memory_mb, seed=seed, refit=refit, another_round=another_round
    )
    part = sample_fit_window(terms, window, memory_mb=memory_mb, seed=seed)
    return fit_blend(terms, part, settings=settings, multipliers=selection.multipliers), selection


def select(
    terms: Sequence[Term],
    window: Window,
    *,
    settings: BlendSettings,
    memory_mb: int,
    seed: int,
    refit: bool = True,
    another_round: Callable[[int], bool] = _always,
) -> Selection:
    """Return the multipliers that rank the window's users best, out of fold.

    One term has nothing to choose. A user's list is judged by a blend that was fitted on the other half of the users.
    Fewer than `MIN_USERS` users keep the sum as it is, unless the sum without trend or a term alone is much better.
    With `refit` the sum without trend and each term alone have weights of their own, and terms may count less or more.
    Else the parts have the weights of the whole sum, and the users are divided once. `another_round` is asked before
    each round of multipliers, with the number of rounds so far: a budget may refuse it.
    """
    everything = dict.fromkeys((term.name for term in terms), 1.0)
    if len(terms) < 2 or len(window) < 2:
        return Selection(everything)
    divisions = DIVISIONS if refit and len(window) < FEW_USERS else 1
    folds = folds_of(terms, window, divisions, settings=settings, memory_mb=memory_mb, seed=seed)
    alone = {term.name: {name: float(name == term.name) for name in everything} for term in terms}
    shared = [term.name for term in terms if not term.personalised]
    starts = {ALL: everything} | alone
    if 0 < len(shared) < len(terms) - 1:
        starts[WITHOUT_TREND] = {name: float(name not in shared) for name in everything}
    if refit:
        fitted = [(fold, fold.fits(starts)) for fold in folds]
        reached = judged(folds, [fold.ndcg(blends) for fold, blends in fitted])
    else:
        fitted = [(fold, dict.fromkeys(starts, fold.fit())) for fold in folds]
        reached = judged(folds, [fold.tempered_ndcg(blends[ALL], starts, base=everything) for fold, blends in fitted])
    best = max(starts, key=lambda name: reached[name].mean())
    if len(window) < MIN_USERS and not clearly_better(reached[best], reached[ALL], errors=FEW_ERRORS):
        best = ALL
    chosen, ndcg = dict(starts[best]), reached[best]
    counting = [name for name, value in chosen.items() if value]
    rounds = 0
    while refit and len(counting) > 1 and len(window) >= MIN_USERS and rounds < ROUNDS and another_round(rounds):
        rounds += 1
        tried = {
            f"{name} × {factor:g}": chosen | {name: chosen[name] * factor} for name in counting for factor in FACTORS
        }
        scores = judged(folds, [fold.tempered_ndcg(blends[best], tried, base=chosen) for fold, blends in fitted])
        winner = max(tried, key=lambda name: scores[name].mean())
        if not clearly_better(scores[winner], ndcg):
            break
        chosen, ndcg = tried[winner], scores[winner]
    told = {name: float(values.mean()) for name, values in (reached | {CHOSEN: ndcg}).items()}
    logger.info("the blend counts %s: NDCG@20 out of fold %s", chosen, told)
    return Selection(chosen, told, ndcg, rounds)


def penalty_of_few(
    terms: Sequence[Term], window: Window, *, settings: BlendSettings, memory_mb: int, seed: int
) -> float:
    """Return the penalty of a window of fewer than `MIN_USERS` users: `SMALL_L2`, or the usual one of `settings`.

    The usual penalty must be clearly better out of fold. A few users may have many targets: on MovieLens 100K in time,
    197 users with 10,000 targets ranked 9 % better with it, by more than three standard errors.
    """
    if len(window) < 2:
        return SMALL_L2
    names = {"strong": SMALL_L2, "usual": settings.l2}
    folds = folds_of(terms, window, DIVISIONS, settings=settings, memory_mb=memory_mb, seed=seed)
    reached = judged(folds, [fold.ndcg(fold.penalised(names)) for fold in folds])
    return settings.l2 if clearly_better(reached["usual"], reached["strong"], errors=FEW_ERRORS) else SMALL_L2


def clearly_better(one: Float64Array, other: Float64Array, *, errors: float = 1.0) -> bool:
    """Return whether the first is better than the second by so many standard errors of the users' differences [U]."""
    difference = one - other
    return bool(difference.mean() > errors * difference.std() / max(np.sqrt(len(difference)), 1.0))
