"""Folds: users that fit a blend and users that judge it, and how well many blends rank for the judges.

Arrives: fitted terms, a window, the settings of the likelihood. Leaves: NDCG@20 of each user by each variant of the
sum. Next: `training.blend.selection` chooses among the variants.

The terms score each user once, whatever the number of variants. Variants that only count some terms more or less share
the weights of one fit, so their scores differ by a multiple of one term's score. Each as a weighted sum of all features
took nearly twice as long with twelve variants.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float64Array, IntArray
from training.blend.blend import Blend, in_feature_order, weighted
from training.blend.fit import BlendSettings, fit_blend, sample_fit_window
from training.blend.likelihood import feature_blocks, features_of, term_features
from training.data.windows import Window
from training.evaluation.ranking import METRIC, accuracy, top_k
from training.terms.protocol import Term

FIT_USERS = 500
"""The largest number of users of each fit. Multipliers need fewer than the weights."""

JUDGED_CELLS = 100_000_000
"""Users × items that are ranked in one round at most; users beyond are left out at random."""

CUTOFF = 20

Multipliers = Mapping[str, float]
"""What each term counts, by name."""


@dataclass(frozen=True)
class Fold:
    """The users that fit, and the users that judge."""

    terms: Sequence[Term]
    learnt: Window
    judges: Window
    rows: IntArray
    """[U] The judging users in the whole window."""
    settings: BlendSettings

    def fit(self) -> Blend:
        """Return a blend of the whole sum."""
        return fit_blend(self.terms, self.learnt, settings=self.settings)

    def fits(self, starts: Mapping[str, Multipliers]) -> dict[str, Blend]:
        """Return a blend for the multipliers of each start."""
        return self._fits({name: {"settings": self.settings, "multipliers": own} for name, own in starts.items()})

    def penalised(self, penalties: Mapping[str, float]) -> dict[str, Blend]:
        """Return a blend of the whole sum for each penalty."""
        return self._fits({name: {"settings": self.settings.with_penalty(l2)} for name, l2 in penalties.items()})

    def _fits(self, variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Blend]:
        """Return a blend for the arguments of each fit."""
        blocks = feature_blocks(self.terms, self.learnt, separate_known=self.learnt.repeats)
        return {name: fit_blend(self.terms, self.learnt, blocks=blocks, **own) for name, own in variants.items()}

    def ndcg(self, blends: Mapping[str, Blend]) -> dict[str, Float64Array]:
        """Return NDCG@20 [U] of the judging users by each blend."""

        def scores(block: Window) -> Iterator[Tensor]:
            features = features_of(self.terms, block, separate_known=block.repeats)
            for blend in blends.values():
                yield weighted(features, blend.weights(block.lengths()))

        return self._ranked([*blends], scores)

    def tempered_ndcg(
        self, blend: Blend, variants: Mapping[str, Multipliers], *, base: Multipliers
    ) -> dict[str, Float64Array]:
        """Return NDCG@20 [U] by one blend with the multipliers of each variant in place of its own.

        Fast for variants that differ from `base` in few terms, or that have few terms.
        """

        def scores(block: Window) -> Iterator[Tensor]:
            tempered = _TemperedScores.of(self.terms, blend, block, base)
            yield from map(tempered.by, variants.values())

        return self._ranked([*variants], scores)

    def _ranked(self, names: Sequence[str], scores: Callable[[Window], Iterator[Tensor]]) -> dict[str, Float64Array]:
        # Made before the loop. Results that are made in it would lie between the blocks, and keep the memory of freed
        # blocks from the system: two gigabytes with 12,000 items.
        lists = {name: np.empty((len(self.judges), CUTOFF), dtype=np.int64) for name in names}
        first = 0
        for block in self.judges.blocks():
            users = slice(first, first := first + len(block))
            seen = None if block.repeats else torch.from_numpy(block.seen())
            for name, found in zip(names, scores(block), strict=True):
                lists[name][users] = top_k(found if seen is None else found.masked_fill_(seen, -torch.inf), CUTOFF)[0]
        return {name: accuracy(items, self.judges, cutoffs=(CUTOFF,))[METRIC] for name, items in lists.items()}


@dataclass(frozen=True)
class _TemperedScores:
    """The scores of some users by each term, and their sum with the multipliers of `base`."""

    parts: Mapping[str, Tensor]
    """[B, num_items] by name of the term."""
    known: Tensor
    """[B, 1] 1 for users with events. For those without events no multiplier counts."""
    base: Multipliers
    whole: Tensor

    @classmethod
    def of(cls, terms: Sequence[Term], blend: Blend, block: Window, base: Multipliers) -> "_TemperedScores":
        lengths = block.lengths()
        weights = replace(blend, multipliers=None).weights(lengths)
        separate_known = block.repeats
        ordered = in_feature_order(terms, separate_known=separate_known)
        parts: dict[str, Tensor] = {}
        first = 0
        for term, features in zip(ordered, term_features(terms, block, separate_known=separate_known), strict=True):
            score = weighted(features, weights[:, first : (first := first + features.size(2))])
            parts[term.name] = parts[term.name].add_(score) if term.name in parts else score
        known = torch.from_numpy((lengths > 0).astype(np.float32))[:, None]
        return cls(parts, known, base, _sum(parts, base, known))

    def by(self, multipliers: Multipliers) -> Tensor:
        """Return the scores [B, num_items] with these multipliers. The caller may change them."""
        changed = [name for name in self.parts if multipliers[name] != self.base[name]]
        if len(changed) > sum(map(bool, multipliers.values())):
            return _sum(self.parts, multipliers, self.known)
        total = self.whole.clone()
        for name in changed:
            total.addcmul_(self.parts[name], (multipliers[name] - self.base[name]) * self.known)
        return total


def _sum(parts: Mapping[str, Tensor], multipliers: Multipliers, known: Tensor) -> Tensor:
    every = bool(known.all())
    counting = [name for name in parts if multipliers[name] or not every]
    total = torch.zeros_like(next(iter(parts.values())))
    for name in counting:
        total.addcmul_(parts[name], 1.0 + (multipliers[name] - 1.0) * known)
    return total


def judged(folds: Sequence[Fold], reached: Sequence[Mapping[str, Float64Array]]) -> dict[str, Float64Array]:
    """Return NDCG@20 of each user [U] by each variant, from what the folds reached, as mean over the divisions."""
    rows = np.concatenate([fold.rows for fold in folds])
    counts = np.bincount(rows)
    names = reached[0]
    return {name: np.bincount(rows, np.concatenate([ndcg[name] for ndcg in reached])) / counts for name in names}


def folds_of(
    terms: Sequence[Term], window: Window, divisions: int, *, settings: BlendSettings, memory_mb: int, seed: int
) -> list[Fold]:
    """Return two folds for each random division of the window's users into halves."""
    rng = np.random.default_rng(seed)
    room = max(2 * CUTOFF, JUDGED_CELLS // max(window.num_items, 1))
    window = window.sample(room, seed=seed)
    folds = []
    for _ in range(divisions):
        halves = rng.permutation(len(window)) % 2
        for half in (0, 1):
            learnt = window.take(np.flatnonzero(halves != half)).sample(FIT_USERS, seed=seed)
            learnt = sample_fit_window(terms, learnt, memory_mb=memory_mb, seed=seed)
            rows = np.flatnonzero(halves == half)
            folds.append(Fold(terms, learnt, window.take(rows), rows, settings))
    return folds
