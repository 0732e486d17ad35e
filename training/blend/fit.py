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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from training.blend.blend import Blend, activity_of, by_feature, feature_names
from training.blend.likelihood import FeatureBlock, Likelihood, feature_blocks, scale_of
from training.data.windows import COLD_EVENTS, Window
from training.terms.protocol import Term

logger = logging.getLogger(__name__)


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

    def with_penalty(self, l2: float) -> Self:
        """Return the settings with one penalty for all users."""
        return replace(self, l2=l2, unknown_l2=l2)


def max_users(terms: Sequence[Term], num_items: int, *, separate_known: bool, memory_mb: int) -> int:
    """Return the number of users whose features fit into `memory_mb`. A fit keeps all features in memory."""
    per_user = 4 * max(num_items, 1) * len(feature_names(terms, separate_known=separate_known))
    return max(1, memory_mb * 1_000_000 // per_user)


def sample_fit_window(terms: Sequence[Term], window: Window, *, memory_mb: int, seed: int) -> Window:
    """Return the window with as many users, sampled by `seed`, as fit into `memory_mb`."""
    room = max_users(terms, window.num_items, separate_known=window.repeats, memory_mb=memory_mb)
    return window.sample(room, seed=seed)


def fit_blend(
    terms: Sequence[Term],
    window: Window,
    *,
    settings: BlendSettings | None = None,
    anchor: Blend | None = None,
    multipliers: Mapping[str, float] | None = None,
    blocks: Sequence[FeatureBlock] | None = None,
) -> Blend:
    """Fit the weights with maximum likelihood on the window. Each user counts once, for any number of targets.

    With an `anchor` (an older blend of the same features), the fit starts there and is regularised towards it. A window
    without users returns the anchor. Raises `ValueError` for a window without users and without an anchor, and for an
    anchor with other features.

    Args:
        terms: the fitted terms.
        window: the users whose choices the weights explain.
        settings: penalties and focus.
        anchor: an older blend, whose multipliers stay.
        multipliers: by name of a term, what its weights are multiplied with after the fit. A term with 0 has no part in
            the likelihood either, except for users without events.
        blocks: the window's `feature_blocks`, for several fits on it. None: they are made here.
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
    if blocks is None:
        blocks = feature_blocks(terms, window, separate_known=separate_known)
    lengths = window.lengths()
    known = lengths > 0
    if anchor is not None:
        scale = torch.tensor(anchor.scale)
        mean, sd = anchor.activity_mean, anchor.activity_sd
    else:
        scale = scale_of(blocks)
        levels = np.log1p(lengths[known]) if known.any() else np.zeros(1)
        mean, sd = float(levels.mean()), max(float(levels.std()), 0.1)
    activity = activity_of(lengths, mean=mean, sd=sd)
    likelihood = Likelihood(blocks, scale, settings.focus, settings.iterations)
    factors = None if anchor is None else anchor.multipliers
    if multipliers is not None:
        factors = by_feature(multipliers, terms, separate_known=separate_known)
    counting = torch.ones(len(names)) if factors is None else (torch.tensor(factors) != 0).float()

    shared_names = {name for term in terms if not term.personalised for name in term.feature_names}
    shared = torch.tensor([float(name in shared_names) for name in names])
    flat = np.ones((len(lengths), 1))

    def maximise(
        user_mask: np.ndarray, design: np.ndarray, old: Tensor, features: Tensor, *, l2: float, held: bool
    ) -> Tensor:
        anchor_weight = settings.anchor_users / (2 * int(user_mask.sum())) if held else 0.0
        return likelihood.maximise(
            user_mask, design, old * features, l2=l2, anchor_weight=anchor_weight, counting=features
        )

    def fit_weights(user_mask: np.ndarray, design: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        return maximise(user_mask, design, old, counting, l2=settings.l2, held=held)

    def fit_unknown(user_mask: np.ndarray, old: Tensor, *, held: bool) -> Tensor:
        """Fit the weights of the trend, which are the only features of a user without events."""
        return maximise(user_mask, flat, old, shared, l2=settings.unknown_l2, held=held)

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
        multipliers=factors,
    )


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
