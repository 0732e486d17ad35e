"""Likelihood of the blend: the features of a window's users in memory, and the weights that explain their choices best.

Arrives: fitted terms, the users of a window. Leaves: weights of the features. Next: `training.blend.fit` makes a
`Blend` of them.

Source: McFadden, 1974 (conditional logit).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.blend.blend import known_items
from training.data.windows import Window
from training.heap import release_freed
from training.terms.protocol import Term

SMALLEST_SCALE = 0.1

SCALED_USERS = 8
"""The scale is computed for so many users at a time: in double precision, whole blocks took 250 MB."""


def features_of(terms: Sequence[Term], window: Window, *, separate_known: bool) -> Tensor:
    """Return all features [B, num_items, num_features] in the order of `training.blend.blend.feature_names`."""
    return torch.cat(term_features(terms, window, separate_known=separate_known), dim=2)


def term_features(terms: Sequence[Term], window: Window, *, separate_known: bool) -> list[Tensor]:
    """Return the features of each term [B, num_items, own features]; those for known items alone are last."""
    parts = [term.score(window.histories, as_of=window.as_of) for term in terms]
    if separate_known:
        known = known_items(window.histories, window.num_items)[:, :, None]
        parts += [part * known for term, part in zip(terms, parts, strict=True) if not term.personalised]
    return parts


def feature_blocks(terms: Sequence[Term], window: Window, *, separate_known: bool) -> list["FeatureBlock"]:
    """Return the inputs of all fits on the window, in blocks of users."""
    release_freed()
    return [FeatureBlock.of(terms, block, separate_known=separate_known) for block in window.blocks()]


@dataclass(frozen=True)
class FeatureBlock:
    """The inputs of a fit step for some users of the window."""

    features: Tensor  # [B, num_features, num_items]: a weighted sum reads contiguous memory
    rows: Tensor  # [n] user of each target
    targets: Tensor  # [n] item of each target
    counts: Tensor  # [B] targets of each user
    excluded: Tensor | None  # [B, num_items] bool, known items; None: with repeats

    @classmethod
    def of(cls, terms: Sequence[Term], window: Window, *, separate_known: bool) -> "FeatureBlock":
        """Return the block of all users of the window."""
        counts = np.diff(window.offsets)
        return cls(
            features=torch.cat(
                [part.transpose(1, 2) for part in term_features(terms, window, separate_known=separate_known)], dim=1
            ),
            rows=torch.from_numpy(np.repeat(np.arange(len(window)), counts)),
            targets=torch.from_numpy(window.targets),
            counts=torch.from_numpy(counts),
            excluded=None if window.repeats else torch.from_numpy(window.seen()),
        )

    def scores(self, weights: Tensor, runs: Sequence[slice]) -> Tensor:
        """Return the sums [B, num_items] of the features of the runs, with the weights [B, num_features]."""
        first, *others = runs or [slice(0, 0)]
        total = torch.bmm(weights[:, None, first], self.features[:, first])
        for run in others:
            total.baddbmm_(weights[:, None, run], self.features[:, run])
        scores = total[:, 0]
        return scores if self.excluded is None else scores.masked_fill_(self.excluded, -torch.inf)

    def gradient(self, residual: Tensor, runs: Sequence[slice]) -> Tensor:
        """Return what `residual` [B, num_items] adds to the gradient [B, num_features]; zero outside of the runs."""
        found = torch.zeros(self.features.shape[:2])
        for run in runs:
            # A product of rows, not of columns: four times as fast, and its rounding error is a third.
            found[:, run] = torch.bmm(residual[:, None], self.features[:, run].transpose(1, 2))[:, 0]
        return found

    def chosen(self, scores: Tensor, *, focus: float) -> tuple[Tensor, Tensor]:
        """Return (1/f) log mean exp(f · score) over the targets of each user [B], and its gradient [n].

        `scores` are [B, num_items], and f is `focus`.
        """
        hits = scores[self.rows, self.targets]  # [n]
        nothing = torch.zeros(len(self.counts))
        if not focus:
            shares = 1.0 / self.counts[self.rows]
            return nothing.index_add(0, self.rows, hits * shares), shares
        top = nothing.scatter_reduce(0, self.rows, hits, "amax", include_self=False)
        lifted = torch.exp(focus * (hits - top[self.rows]))
        total = nothing.index_add(0, self.rows, lifted)
        return top + torch.log(total / self.counts) / focus, lifted / total[self.rows]


def runs_of(counting: Tensor) -> list[slice]:
    """Return the consecutive features that count, as slices; `counting` [num_features] is not zero there.

    A slice of features is read in place, and a sum of few features does not read the others.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], counting.numpy() != 0, [0]])))
    return [slice(int(first), int(last)) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def scale_of(blocks: Sequence[FeatureBlock]) -> Tensor:
    """Return the standard deviation of each feature over users and items [num_features]."""
    cells = sum(block.features.size(0) * block.features.size(2) for block in blocks)

    def mean_of(values: Callable[[Tensor], Tensor]) -> Tensor:
        sums = (
            values(part).sum(dim=(0, 2), dtype=torch.float64)
            for block in blocks
            for part in torch.split(block.features, SCALED_USERS)
        )
        return sum(sums, torch.zeros(())) / cells

    mean = mean_of(lambda part: part).float()[None, :, None]
    variance = mean_of(lambda part: (part - mean).square_())
    deviation = variance.sqrt().float()
    # A short trend may be nearly constant at the start of the window and not at serving time. A very small scale would
    # then give it a very large weight.
    return deviation.clamp_min(SMALLEST_SCALE)


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of one window, which all fits on the window share."""

    blocks: Sequence[FeatureBlock]
    scale: Tensor  # [num_features]
    focus: float
    iterations: int

    def maximise(
        self,
        user_mask: np.ndarray,
        design: np.ndarray,
        anchor: Tensor,
        *,
        l2: float,
        anchor_weight: float,
        counting: Tensor | None = None,
    ) -> Tensor:
        """Return the weights [D, num_features] with the largest likelihood. A user has the weights design[u] @ weights.

        Minimises mean negative log likelihood + l2 · |weights|² + anchor_weight · |weights − anchor|² with L-BFGS. The
        gradient is explicit: features times (expected − chosen). With a focus there may be several maxima, so the start
        matters: it is the anchor, or zero, where all targets of a user count alike.

        Args:
            user_mask: [U] mask of the users in the likelihood.
            design: [U, D] factors of the D weight rows for each user.
            anchor: [D, num_features] start, and centre of the second penalty.
            l2: penalty on the weights.
            anchor_weight: penalty on the distance from the anchor.
            counting: [num_features] mask of the features that take part; the anchor is zero at the others, and they
                stay so. None: all.
        """
        plan = torch.from_numpy(design.astype(np.float32))
        importance = torch.from_numpy(user_mask.astype(np.float32)) / max(int(user_mask.sum()), 1)
        weights = anchor.clone()
        runs = [slice(0, weights.size(1))] if counting is None else runs_of(counting)
        optimiser = torch.optim.LBFGS(
            [weights], max_iter=self.iterations, history_size=10, line_search_fn="strong_wolfe"
        )

        def loss() -> float:
            total = l2 * float(weights.square().sum()) + anchor_weight * float((weights - anchor).square().sum())
            gradient = 2 * l2 * weights + 2 * anchor_weight * (weights - anchor)
            first = 0
            for block in self.blocks:
                users = slice(first, first + block.features.size(0))
                first = users.stop
                of_user = importance[users]
                user_weights = (plan[users] @ weights) / self.scale  # [B, F]
                scores = block.scores(user_weights, runs)  # [B, N]
                chosen, shares = block.chosen(scores, focus=self.focus)
                # In place from here on, and one exponential for both the norm and the probabilities: each further
                # array of this size costs as much as a feature.
                top = scores.amax(dim=1, keepdim=True)
                sums = scores.sub_(top).exp_().sum(dim=1)
                norm = top[:, 0] + sums.log()
                total += float(((norm - chosen) * of_user).sum())
                residual = scores.mul_((of_user / sums)[:, None])
                residual[block.rows, block.targets] -= shares * of_user[block.rows]
                gradient += plan[users].T @ (block.gradient(residual, runs) / self.scale)
            weights.grad = gradient if counting is None else gradient * counting
            return total

        step: Callable[[Callable[[], float]], Any] = optimiser.step
        step(loss)
        return weights.detach()
