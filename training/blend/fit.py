"""The fit of the blend: weights of maximum likelihood on a window that the terms were not fitted on.

Arrives: fitted terms, a validation window. Leaves: a `Blend`. Next: `training.search.blend_search` compares such fits,
`training.models.candidate` scores with one.

A conditional logit (McFadden, 1974): a shopper's choices are draws from a softmax, over every candidate item, of a
weighted sum of features. The likelihood has no grid to overfit, and its weights follow the season because they are
fitted anew with every model. Of a shopper's many targets a short list shows those that were likely anyhow:
`BlendSettings.focus` says how much more these count. A stranger's weights are fitted on everybody and, where the window
holds enough strangers, moved to what they took.

Gradient-boosted ranking and a grid search on NDCG were weaker: a window of some hundred shoppers is too small for them.
A smoothed NDCG@20 (Qin, Liu & Li, 2010), descended from where the likelihood ends, ranks for the shoppers that it was
fitted on up to 5 % better, for others no better.
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

ITERATIONS = 60

SMALLEST_SCALE = 0.1


@dataclass(frozen=True)
class BlendSettings:
    """How the likelihood is held in check."""

    l2: float = 0.02
    """Weight of the squared norm of the standardised weights, against a mean over users."""
    unknown_l2: float = 0.02
    """The same for shoppers without events."""
    anchor_users: int = 100
    """A fit that starts from an older blend behaves as if so many more users had voted for the old weights."""
    min_cold_users: int = 50
    """Cold users of the window from which they get weights of their own; of users without events the same."""
    focus: float = 0.5
    """How much a user's targets that the model finds likely count before the others.

    A user's log likelihood is (1/f) log mean p^f over their targets. At 0 it is the mean of log p: the conditional
    logit, convex, in which a target far down the list weighs like one at its top. At 1 it is the log of the chance that
    one draw of the model is any of the targets, as in neighbourhood components analysis (Goldberger et al., 2004). With
    one target a user all are the same.
    """


def max_users(terms: Sequence[Term], num_items: int, *, known_apart: bool, memory_mb: int) -> int:
    """How many users a fit can hold in so much memory: their features are kept, not computed at each step."""
    per_user = 4 * max(num_items, 1) * len(feature_names(terms, known_apart=known_apart))
    return max(1, memory_mb * 1_000_000 // per_user)


def fitting_part(terms: Sequence[Term], window: Window, *, memory_mb: int, seed: int) -> Window:
    """As many users of the window, drawn by `seed`, as a fit can hold in so much memory."""
    room = max_users(terms, window.num_items, known_apart=window.repeats, memory_mb=memory_mb)
    return window.sample(room, seed=seed)


def fit_blend(
    terms: Sequence[Term], window: Window, *, settings: BlendSettings | None = None, anchor: Blend | None = None
) -> Blend:
    """Weights of maximum likelihood on the window, each user counting once whatever the number of their targets.

    With an `anchor` (an older blend of the same features) the fit starts from it and is drawn towards it.
    Raises `ValueError` for a window without users and without an anchor; with one, the anchor is the answer.
    """
    settings = settings or BlendSettings()
    known_apart = window.repeats if anchor is None else anchor.known_apart
    names = feature_names(terms, known_apart=known_apart)
    if anchor is not None and anchor.feature_names != names:
        raise ValueError(f"the anchor blends {anchor.feature_names}, not {names}")
    if not len(window):
        if anchor is None:
            raise ValueError("no user has a target in the window: nothing to fit the blend on")
        return anchor
    blocks = [_Block.of(terms, block, known_apart=known_apart) for block in window.blocks()]
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
    likelihood = _Likelihood(blocks, scale, settings.focus)

    def fitted(counted: np.ndarray, design: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        hold = settings.anchor_users / (2 * int(counted.sum())) if held else 0.0
        return likelihood.maximised(counted, design, old, l2=settings.l2, hold=hold)

    for_everybody = {name for term in terms if not term.personalised for name in term.feature_names}
    trends = torch.tensor([place for place, name in enumerate(names) if name in for_everybody], dtype=torch.int64)
    trend_likelihood = likelihood.only(trends)
    flat = np.ones((len(lengths), 1))

    def fitted_unknown(counted: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        """Of the trends alone: of who is unknown there is nothing else."""
        new = torch.zeros(1, len(names))
        if len(trends):
            hold = settings.anchor_users / (2 * int(counted.sum())) if held else 0.0
            new[:, trends] = trend_likelihood.maximised(
                counted, flat, old[:, trends], l2=settings.unknown_l2, hold=hold
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
        warm = fitted(known, design, old, held=anchored)
    # What a stranger will take is first of all what everybody takes. Newcomers drawn to it come second: their own
    # choices differ (in a gift shop's autumn by 8 % of NDCG@20), but there are few of them.
    everybody = np.ones(len(lengths), dtype=bool)
    unknown = fitted_unknown(everybody, old_unknown, held=anchored)
    if (~known).sum() >= settings.min_cold_users:
        unknown = fitted_unknown(~known, unknown, held=True)
    if anchor is None and not known.any():  # nobody to learn from: what strangers take is better than any order
        warm = torch.cat([unknown, torch.zeros_like(unknown)])
    cold_users = known & (lengths <= COLD_EVENTS)
    cold = anchor.cold if anchor is not None else None
    if cold_users.sum() >= settings.min_cold_users:
        edge = warm[:1] + float(activity[cold_users].mean()) * warm[1:]
        # Drawn to the shared weights like an update to its anchor: cold users are few.
        cold = _floats(fitted(cold_users, flat, edge, held=True)[0])
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
    """Some users of the window with all that a step of the fit reads."""

    features: Tensor  # [B, num_features, num_items]: features first, so that a weighted sum runs along memory
    rows: Tensor  # [n] user of each target
    targets: Tensor  # [n] its item
    counts: Tensor  # [B] targets of each user
    barred: Tensor | None  # [B, num_items] bool, seen items where there are no repeats

    @classmethod
    def of(cls, terms: Sequence[Term], window: Window, *, known_apart: bool) -> "_Block":
        parts = [term.score(window.histories, as_of=window.moment) for term in terms]
        if known_apart:
            known = known_items(window.histories, window.num_items)[:, :, None]
            parts += [part * known for term, part in zip(terms, parts, strict=True) if not term.personalised]
        features = torch.cat(parts, dim=2)
        counts = np.diff(window.offsets)
        return cls(
            features=features.transpose(1, 2).contiguous(),
            rows=torch.from_numpy(np.repeat(np.arange(len(window)), counts)),
            targets=torch.from_numpy(window.targets),
            counts=torch.from_numpy(counts),
            barred=None if window.repeats else torch.from_numpy(window.seen()),
        )

    def chosen(self, scores: Tensor, *, focus: float) -> tuple[Tensor, Tensor]:
        """(1/f) log mean exp(f · score) over each user's targets [B], of `scores` [B, num_items]; its gradient [n]."""
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
    # A short trend may be nearly flat at the hour at which the window starts and not at the hour of serving: a scale
    # as small as that would make its weight large.
    return deviation.clamp_min(SMALLEST_SCALE)


@dataclass(frozen=True)
class _Likelihood:
    """What all fits on one window share."""

    blocks: Sequence[_Block]
    scale: Tensor  # [num_features]
    focus: float

    def only(self, places: Tensor) -> "_Likelihood":
        """The same with the features at `places` alone."""
        blocks = [replace(block, features=block.features.index_select(1, places)) for block in self.blocks]
        return replace(self, blocks=blocks, scale=self.scale[places])

    def maximised(self, counted: np.ndarray, design: np.ndarray, anchor: Tensor, *, l2: float, hold: float) -> Tensor:
        """Weights [D, num_features] with a user's weights design[u] @ weights, over the users `counted`.

        Minimises the mean negative log likelihood + l2 · |weights|² + hold · |weights − anchor|². The gradient is
        written out: the features times what was expected less what was chosen. With a focus the maximum need not be the
        only one: the search starts at the anchor, from zero at first, where all targets of a user count alike.
        """
        plan = torch.from_numpy(design.astype(np.float32))
        importance = torch.from_numpy(counted.astype(np.float32)) / max(int(counted.sum()), 1)
        weights = anchor.clone()
        optimiser = torch.optim.LBFGS([weights], max_iter=ITERATIONS, history_size=10, line_search_fn="strong_wolfe")

        def loss() -> float:
            total = l2 * float(weights.square().sum()) + hold * float((weights - anchor).square().sum())
            gradient = 2 * l2 * weights + 2 * hold * (weights - anchor)
            first = 0
            for block in self.blocks:
                users = slice(first, first + block.features.size(0))
                first = users.stop
                mine = (plan[users] @ weights) / self.scale  # [B, F]
                scores = torch.bmm(mine[:, None, :], block.features)[:, 0]  # [B, N]
                if block.barred is not None:
                    scores = scores.masked_fill(block.barred, -torch.inf)
                norm = scores.logsumexp(dim=1)
                chosen, shares = block.chosen(scores, focus=self.focus)
                total += float(((norm - chosen) * importance[users]).sum())
                surprise = torch.exp(scores - norm[:, None])
                surprise[block.rows, block.targets] -= shares
                surprise *= importance[users][:, None]
                # A product of rows, not of columns: four times as fast, and its rounding error is a third.
                slope = torch.bmm(surprise[:, None, :], block.features.transpose(1, 2))[:, 0]  # [B, F]
                gradient += plan[users].T @ (slope / self.scale)
            weights.grad = gradient
            return total

        step: Callable[[Callable[[], float]], Any] = optimiser.step
        step(loss)
        return weights.detach()


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
