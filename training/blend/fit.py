"""Fit of the blend: maximum likelihood weights on a window after the fit of the terms.

Arrives: fitted terms, a validation window. Leaves: a `Blend`. Next: `training.search.blend_search` compares such fits,
`training.models.candidate` scores with one.

The model is a conditional logit: the choices of a user are samples from a softmax over all candidate items, and the
score is a weighted sum of features. Each new model has newly fitted weights, so they follow the season. A short list
shows only the likely targets of a user; `BlendSettings.focus` gives these more weight. The weights of users without
events are fitted on all users, then adapted to users without events if the window has enough of them.

Rejected: gradient-boosted ranking and a grid search on NDCG, because a window with some hundred users is too small for
them. Rejected: a smoothed NDCG@20 that starts from the likelihood weights, because it ranks up to 5 % better for the
users of the fit and no better for others.

Source: McFadden, 1974 (conditional logit); Qin, Liu & Li, 2010 (smoothed NDCG).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.blend.blend import Blend, activity_of, feature_names, known_items
from training.data.windows import COLD_EVENTS, Window
from training.terms.protocol import Term

logger = logging.getLogger(__name__)

SMALLEST_SCALE = 0.1


@dataclass(frozen=True)
class BlendSettings:
    """Settings of the likelihood: penalties, anchor and focus."""

    l2: float = 0.02
    """Penalty on the squared norm of the standardised weights. The likelihood is a mean over users."""
    unknown_l2: float = 0.02
    """The penalty for users without events."""
    anchor_users: int = 100
    """The strength of an anchor (an older blend), as a number of additional users with the old weights."""
    min_cold_users: int = 50
    """The least number of cold users in the window for separate weights. The same for users without events."""
    iterations: int = 60
    """The largest number of iterations of L-BFGS. A fit that starts at an anchor needs fewer."""
    focus: float = 0.5
    """How much more the likely targets of a user count than the others.

    The log likelihood of a user is (1/f) log mean p^f over the targets. With f = 0 it is the mean of log p: the convex
    conditional logit, in which all targets count alike. With f = 1 it is the log probability that one sample is any of
    the targets, as in neighbourhood components analysis (Goldberger et al., 2004). With one target for each user, f has
    no effect.
    """


def max_users(terms: Sequence[Term], num_items: int, *, separate_known: bool, memory_mb: int) -> int:
    """Return the number of users whose features fit into `memory_mb`. A fit keeps all features in memory."""
    per_user = 4 * max(num_items, 1) * len(feature_names(terms, separate_known=separate_known))
    return max(1, memory_mb * 1_000_000 // per_user)


def sample_fit_window(terms: Sequence[Term], window: Window, *, memory_mb: int, seed: int) -> Window:
    """Return the window with as many users, sampled by `seed`, as fit into `memory_mb`."""
    room = max_users(terms, window.num_items, separate_known=window.repeats, memory_mb=memory_mb)
    return window.sample(room, seed=seed)


def fit_blend(
    terms: Sequence[Term], window: Window, *, settings: BlendSettings | None = None, anchor: Blend | None = None
) -> Blend:
    """Fit the weights with maximum likelihood on the window. Each user counts once, for any number of targets.

    With an `anchor` (an older blend of the same features), the fit starts there and is regularised towards it. A window
    without users returns the anchor. Raises `ValueError` for a window without users and without an anchor, and for an
    anchor with other features.
    """
    settings = settings or BlendSettings()
    separate_known = window.repeats if anchor is None else anchor.separate_known
    names = feature_names(terms, separate_known=separate_known)
    if anchor is not None and anchor.feature_names != names:
        raise ValueError(f"the anchor blends {anchor.feature_names}, not {names}")
    if not len(window):
        if anchor is None:
            raise ValueError("no user has a target in the window: nothing to fit the blend on")
        return anchor
    blocks = [_Block.of(terms, block, separate_known=separate_known) for block in window.blocks()]
    lengths = window.lengths()
    known = lengths > 0
    if anchor is not None:
        scale = torch.tensor(anchor.scale)
        mean, sd = anchor.activity_mean, anchor.activity_sd
    else:
        scale = _scale(blocks)
        levels = np.log1p(lengths[known]) if known.any() else np.zeros(1)
        mean, sd = float(levels.mean()), max(float(levels.std()), 0.1)
    activity = activity_of(lengths, mean=mean, sd=sd)
    likelihood = _Likelihood(blocks, scale, settings.focus, settings.iterations)

    def fit_weights(user_mask: np.ndarray, design: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        anchor_weight = settings.anchor_users / (2 * int(user_mask.sum())) if held else 0.0
        return likelihood.maximise(user_mask, design, old, l2=settings.l2, anchor_weight=anchor_weight)

    shared_names = {name for term in terms if not term.personalised for name in term.feature_names}
    trends = torch.tensor([index for index, name in enumerate(names) if name in shared_names], dtype=torch.int64)
    trend_likelihood = likelihood.select_features(trends)
    flat = np.ones((len(lengths), 1))

    def fit_unknown(user_mask: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        """Fit the weights of the trend, which are the only features of a user without events."""
        new = torch.zeros(1, len(names))
        if len(trends):
            anchor_weight = settings.anchor_users / (2 * int(user_mask.sum())) if held else 0.0
            new[:, trends] = trend_likelihood.maximise(
                user_mask, flat, old[:, trends], l2=settings.unknown_l2, anchor_weight=anchor_weight
            )
        return new

    old = torch.zeros(2, len(names))
    old_unknown = torch.zeros(1, len(names))
    if anchor is not None:
        old = torch.tensor([anchor.warm, anchor.activity])
        old_unknown = torch.tensor([anchor.unknown])
    warm, anchored = old, anchor is not None
    if known.any():
        design = np.stack([np.ones(len(lengths)), activity], axis=1)
        warm = fit_weights(known, design, old, held=anchored)
    # Users without events choose mostly what all users choose, so all users come first. Then the weights are adapted to
    # users without events, who differ (in the autumn of a gift shop by 8 % of NDCG@20) but are few.
    all_users = np.ones(len(lengths), dtype=bool)
    unknown = fit_unknown(all_users, old_unknown, held=anchored)
    if (~known).sum() >= settings.min_cold_users:
        unknown = fit_unknown(~known, unknown, held=True)
    if anchor is None and not known.any():  # the weights of users without events are better than zero
        warm = torch.cat([unknown, torch.zeros_like(unknown)])
    cold_users = known & (lengths <= COLD_EVENTS)
    cold = anchor.cold if anchor is not None else None
    if cold_users.sum() >= settings.min_cold_users:
        start = warm[:1] + float(activity[cold_users].mean()) * warm[1:]
        # Regularised towards the shared weights, like an update to its anchor, because cold users are few.
        cold = _floats(fit_weights(cold_users, flat, start, held=True)[0])
    logger.info(
        "blend of %d features on %d users; %d cold users %s",
        len(names),
        len(window),
        int(cold_users.sum()),
        "have weights of their own" if cold is not None else "share the weights of the others",
    )
    return Blend(
        feature_names=names,
        scale=_floats(scale),
        warm=_floats(warm[0]),
        activity=_floats(warm[1]),
        activity_mean=mean,
        activity_sd=sd,
        cold=cold,
        unknown=_floats(unknown[0]),
    )


@dataclass(frozen=True)
class _Block:
    """The inputs of a fit step for some users of the window."""

    features: Tensor  # [B, num_features, num_items]: a weighted sum reads contiguous memory
    rows: Tensor  # [n] user of each target
    targets: Tensor  # [n] item of each target
    counts: Tensor  # [B] targets of each user
    excluded: Tensor | None  # [B, num_items] bool, known items; None: with repeats

    @classmethod
    def of(cls, terms: Sequence[Term], window: Window, *, separate_known: bool) -> "_Block":
        parts = [term.score(window.histories, as_of=window.as_of) for term in terms]
        if separate_known:
            known = known_items(window.histories, window.num_items)[:, :, None]
            parts += [part * known for term, part in zip(terms, parts, strict=True) if not term.personalised]
        features = torch.cat(parts, dim=2)
        counts = np.diff(window.offsets)
        return cls(
            features=features.transpose(1, 2).contiguous(),
            rows=torch.from_numpy(np.repeat(np.arange(len(window)), counts)),
            targets=torch.from_numpy(window.targets),
            counts=torch.from_numpy(counts),
            excluded=None if window.repeats else torch.from_numpy(window.seen()),
        )

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


def _scale(blocks: Sequence[_Block]) -> Tensor:
    cells = sum(block.features.size(0) * block.features.size(2) for block in blocks)
    mean = sum((block.features.sum(dim=(0, 2), dtype=torch.float64) for block in blocks), torch.zeros(())) / cells
    centred = ((block.features - mean.float()[None, :, None]).square() for block in blocks)
    variance = sum((part.sum(dim=(0, 2), dtype=torch.float64) for part in centred), torch.zeros(())) / cells
    deviation = variance.sqrt().float()
    # A short trend may be nearly constant at the start of the window and not at serving time. A very small scale would
    # then give it a very large weight.
    return deviation.clamp_min(SMALLEST_SCALE)


@dataclass(frozen=True)
class _Likelihood:
    """The likelihood of one window, which all fits on the window share."""

    blocks: Sequence[_Block]
    scale: Tensor  # [num_features]
    focus: float
    iterations: int

    def select_features(self, columns: Tensor) -> "_Likelihood":
        """Return the likelihood of the features `columns` only."""
        blocks = [replace(block, features=block.features.index_select(1, columns)) for block in self.blocks]
        return replace(self, blocks=blocks, scale=self.scale[columns])

    def maximise(
        self, user_mask: np.ndarray, design: np.ndarray, anchor: Tensor, *, l2: float, anchor_weight: float
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
        """
        plan = torch.from_numpy(design.astype(np.float32))
        importance = torch.from_numpy(user_mask.astype(np.float32)) / max(int(user_mask.sum()), 1)
        weights = anchor.clone()
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
                user_weights = (plan[users] @ weights) / self.scale  # [B, F]
                scores = torch.bmm(user_weights[:, None, :], block.features)[:, 0]  # [B, N]
                if block.excluded is not None:
                    scores = scores.masked_fill(block.excluded, -torch.inf)
                norm = scores.logsumexp(dim=1)
                chosen, shares = block.chosen(scores, focus=self.focus)
                total += float(((norm - chosen) * importance[users]).sum())
                residual = torch.exp(scores - norm[:, None])
                residual[block.rows, block.targets] -= shares
                residual *= importance[users][:, None]
                # A product of rows, not of columns: four times as fast, and its rounding error is a third.
                block_gradient = torch.bmm(residual[:, None, :], block.features.transpose(1, 2))[:, 0]  # [B, F]
                gradient += plan[users].T @ (block_gradient / self.scale)
            weights.grad = gradient
            return total

        step: Callable[[Callable[[], float]], Any] = optimiser.step
        step(loss)
        return weights.detach()


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
