"""Guards: what a challenger must not do, however good its mean is.

Arrives: a trial with the lists and scores of the candidate, and the lists of the champion. Leaves: one sentence for
each thing that is wrong, and the measures behind them. Next: `training.lifecycle.gate` keeps a challenger with
objections.

A guard finds what is broken, not what is a little worse: the gate's test of NDCG finds that. So each limit is far from
what sound models have. Most guards compare with the champion; without one only the others speak. Everything comes from
the lists of the evaluation and from the scores of at most `PROBED_USERS` users, so the guards cost little.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from graphstore.arrays import LARGEST_SCORE, BoolArray, Float32Array, Float64Array
from graphstore.tables import HOUR_MS
from training.data.windows import Window
from training.evaluation.ranking import METRIC, Evaluation
from training.evaluation.sequential import Wager
from training.lifecycle.trial import TrialResult
from training.models.candidate import Candidate
from training.terms.protocol import find_term
from training.terms.trend import Trend

PROBED_USERS = 100
LISTED = 20

LARGEST_LOSS = 0.5
"""Cold users and new items may lose this part of what the champion finds for them."""
LOSS_ALPHA = 0.2
"""The level at which such a loss counts. See `gate.REFRESH_ALPHA`."""
FEW_HITS = 10.0
"""Fewer found new items of the champion show nothing."""
LARGEST_MISSING = 0.1
"""The part of the available items that the challenger may be unable to list."""
LARGEST_POPULARITY_RISE = 0.25
"""The mean popularity percentile (0..1) of the lists may rise by this."""
LEAST_COMMON = 0.05
"""An update that is no better keeps at least this part of the champion's lists. A model with permuted items keeps half
of it. After a swap of the catalogue an update may change all lists, but then it is better."""
LARGEST_MISCALIBRATION = 20.0
"""The factor between the expected and the found share of the targets in the lists."""
LARGEST_TIED = 0.5
"""The part of neighbours in a list that half precision may make equal although they are not."""
LARGEST_SLOWDOWN = 10.0
SLOW_MS = 20.0
"""A user's scores may take 10 times the champion's CPU time, and always this time (ms)."""
LARGEST_GROWTH = 10.0
SMALL_MB = 64.0
"""The terms may have 10 times the champion's size, and always this size."""

SCORE_MS, SIZE_MB = "score_ms", "size_mb"
"""Measures of a model that its successor is compared with."""


@dataclass(frozen=True)
class Probe:
    """The scores of some users, as the model gives them."""

    window: Window
    scores: Float32Array  # [U, num_items]
    milliseconds: float
    """CPU time for one user."""

    @classmethod
    def of(cls, candidate: Candidate, window: Window) -> Self:
        """Score the first users of the window."""
        part = window.take(np.arange(min(PROBED_USERS, len(window))))
        began = time.process_time()
        blocks = [candidate(block.histories, as_of=block.as_of).numpy() for block in part.blocks()]
        used = 1000 * (time.process_time() - began) / max(len(part), 1)
        empty = np.empty((0, window.num_items), dtype=np.float32)
        return cls(part, np.concatenate([empty, *blocks]), used)


@dataclass(frozen=True)
class Opponent:
    """What the guards know of the champion."""

    evaluation: Evaluation
    measures: dict[str, float]
    """`SCORE_MS` and `SIZE_MB`, as they were measured when it was the challenger. Empty: not known."""


def inspect(
    trial: TrialResult, champion: Opponent | None, *, is_update: bool, min_coverage_ratio: float
) -> tuple[list[str], dict[str, float]]:
    """Return the objections against the trial's candidate, and its measures for the comparison with its successor.

    `is_update` tells that the candidate is an update of the champion. `min_coverage_ratio` is the part of the
    champion's coverage that it needs.
    """
    probe = Probe.of(trial.candidate, trial.window)
    size = sum(value.nbytes for term in trial.candidate.terms for value in term.state().values()) / 1e6
    measures = {SCORE_MS: probe.milliseconds, SIZE_MB: size}
    objections = [*_times(trial), *_scores(probe, trial.dataset.available)]
    if champion is not None:
        objections += [
            *_lists(trial, champion.evaluation, min_coverage_ratio),
            *_cold_users(trial.evaluation, champion.evaluation),
            *_new_items(trial, champion.evaluation),
            *_costs(measures, champion.measures),
        ]
        if is_update:
            objections += _churn(trial.evaluation, champion.evaluation)
    return objections, measures


def _times(trial: TrialResult) -> Iterator[str]:
    """The trend holds the hours of all learned events, so it tells until when the candidate has learned."""
    trend, past = find_term(trial.candidate.terms, Trend), trial.dataset.log.between(end=trial.split.test)
    if trend is None or not len(past):
        return
    newest, expected = trend.newest_hour, int(past.times[-1]) // HOUR_MS
    if newest > expected:
        yield f"it has learned {newest - expected} hours of the events that judge it"
    if newest < expected:
        yield f"it is stale: it misses the newest {expected - newest} hours before the test window"


def _scores(probe: Probe, available: BoolArray) -> Iterator[str]:
    """Check what serving does to scores: it clips them and stores them in half precision."""
    scores = probe.scores
    if not len(scores):
        return
    if np.isnan(scores).any() or np.isposinf(scores).any():
        yield "some scores are not finite"
        return
    finite = np.isfinite(scores)
    missing = available & ~finite.any(axis=0)
    if missing.sum() > LARGEST_MISSING * available.sum():
        yield f"it cannot list {missing.sum()} of the {available.sum()} available items"
    largest = float(np.abs(scores[finite]).max(initial=0.0))
    if largest > LARGEST_SCORE:
        yield f"scores reach {largest:.3g}, but a served score ends at {LARGEST_SCORE:.0f}"
        return
    best = -np.sort(-np.where(finite, scores, -np.inf), axis=1)[:, :LISTED]
    if not (best[:, :1] > best[:, -1:]).any():
        yield "the scores do not tell the items of a list apart"
        return
    halves = best.astype(np.float16)
    differ = best[:, :-1] > best[:, 1:]
    tied = float((halves[:, :-1] == halves[:, 1:])[differ].mean()) if differ.any() else 0.0
    if tied > LARGEST_TIED:
        yield f"half precision, in which scores are served, makes {tied:.0%} of the neighbours in a list equal"
    yield from _calibration(probe)


def _calibration(probe: Probe) -> Iterator[str]:
    """Compare the share of the targets that the scores expect in the lists with the share that is there.

    The blend is a softmax over the items, so exp(score) is proportional to the probability of an item. Mixed scores of
    other scales expect nearly everything or nearly nothing in the lists.
    """
    window, scores = probe.window, torch.from_numpy(probe.scores)
    if not window.repeats:
        scores = scores.masked_fill(torch.from_numpy(window.seen()), -torch.inf)
    probabilities, rows = scores.softmax(dim=1).topk(min(LISTED, scores.size(1)), dim=1)
    expected = float(probabilities.sum(dim=1).mean())
    owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))
    found = int((rows.numpy()[owners] == window.targets[:, None]).any(axis=1).sum())
    # Half a target more in both, so that a short list of targets without a hit shows little.
    share = (found + 0.5) / (len(owners) + 0.5)
    if not share / LARGEST_MISCALIBRATION <= expected <= share * LARGEST_MISCALIBRATION:
        yield f"scores expect {expected:.1%} of the targets in the lists, {found / max(len(owners), 1):.1%} are there"


def _lists(trial: TrialResult, champion: Evaluation, min_coverage_ratio: float) -> Iterator[str]:
    """Compare the coverage and the popularity of all lists."""
    ours = trial.evaluation
    if ours.coverage < min_coverage_ratio * champion.coverage:
        yield f"lists cover {ours.coverage:.1%} of the items, the champion's {champion.coverage:.1%}"
    counts = np.bincount(trial.dataset.log.between(end=trial.split.test).items, minlength=trial.window.num_items)
    percentile = np.searchsorted(np.sort(counts), counts) / max(len(counts), 1)
    popular, before = (_mean(percentile[lists[lists >= 0]]) for lists in (ours.lists, champion.lists))
    if popular - before > LARGEST_POPULARITY_RISE:
        yield f"lists hold much more popular items: percentile {popular:.0%}, the champion's {before:.0%}"


def _cold_users(ours: Evaluation, champion: Evaluation) -> Iterator[str]:
    cold = ours.cold
    mine, theirs = ours.per_user[METRIC][cold], champion.per_user[METRIC][cold]
    if _lost(mine, theirs):
        yield f"{int(cold.sum())} cold users lose: {METRIC} {_mean(mine):.4f}, with the champion {_mean(theirs):.4f}"


def _new_items(trial: TrialResult, champion: Evaluation) -> Iterator[str]:
    """Compare the found targets that nobody had before the window."""
    window = trial.window
    known = np.bincount(trial.dataset.log.between(end=trial.split.test).items, minlength=window.num_items) > 0
    new = ~known[window.targets]
    owners = np.repeat(np.arange(len(window)), np.diff(window.offsets))[new]
    mine, theirs = (
        (lists[owners] == window.targets[new][:, None]).any(axis=1).astype(np.float64)
        for lists in (trial.evaluation.lists, champion.lists)
    )
    if theirs.sum() >= FEW_HITS and _lost(mine, theirs):
        yield f"new items lose: {int(mine.sum())} found, the champion finds {int(theirs.sum())}"


def _churn(ours: Evaluation, champion: Evaluation) -> Iterator[str]:
    """Compare the lists of each user. Only an update must resemble the champion; another kind of model may not."""
    lists, before = ours.lists, champion.lists
    same = ((lists[:, :, None] == before[:, None, :]) & (lists[:, :, None] >= 0)).any(axis=2).sum(axis=1)
    common = _mean(same / np.maximum((before >= 0).sum(axis=1), 1))
    if len(lists) and common < LEAST_COMMON and _mean(ours.per_user[METRIC]) <= _mean(champion.per_user[METRIC]):
        yield f"it is no better, and keeps {common:.1%} of the champion's lists: an update keeps {LEAST_COMMON:.0%}"


def _costs(measures: dict[str, float], before: dict[str, float]) -> Iterator[str]:
    slow, large = measures[SCORE_MS], measures[SIZE_MB]
    if SCORE_MS in before and slow > max(LARGEST_SLOWDOWN * before[SCORE_MS], SLOW_MS):
        yield f"a user's scores take {slow:.0f} ms, the champion's {before[SCORE_MS]:.0f} ms"
    if SIZE_MB in before and large > max(LARGEST_GROWTH * before[SIZE_MB], SMALL_MB):
        yield f"its terms have {large:.0f} MB, the champion's {before[SIZE_MB]:.0f} MB"


def _lost(ours: Float64Array, champion: Float64Array) -> bool:
    """Return whether too much is lost, beyond chance."""
    less = _mean(ours) < (1 - LARGEST_LOSS) * _mean(champion)
    return less and Wager(later=False).add(champion - ours).shows(LOSS_ALPHA)


def _mean(values: Float64Array) -> float:
    return float(values.mean()) if len(values) else 0.0
