"""Responses as features: the standardised response of each item, and its logarithm.

Arrives: the response of each item to a profile, from a linear filter or a factorisation. Leaves: two features. Next:
`training.terms.filter_bank`, `training.terms.als`.

z separates the few strong responses, the logarithm the many weak ones. An empty profile gives constants.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array, Float64Array

Responses = Float32Array | Float64Array
"""Of single precision where they are many."""

FLOOR = 0.1
"""The logarithm's argument for the lowest response."""

SMALLEST_SD = 1e-9


def z_and_log(response: Tensor) -> tuple[Tensor, Tensor]:
    """Return z (standardised over the items) and log(0.1 + z − min z) of a `response` [B, num_items]."""
    if not response.numel():  # torch warns about the deviation of an empty tensor
        return response, response
    sd = response.std(dim=1, keepdim=True, correction=0).clamp_min(SMALLEST_SD)
    z = (response - response.mean(dim=1, keepdim=True)) / sd
    return z, torch.log(FLOOR + z - z.amin(dim=1, keepdim=True))


@dataclass(frozen=True)
class Standard:
    """Mean, deviation and lowest of the responses of all items to one profile, where most of them are zero."""

    mean: float
    sd: float
    lowest: float

    @classmethod
    def of(cls, responses: Responses, num_items: int) -> Self:
        """Take the responses [n] that may differ from zero; those of all other items are zero."""
        if not num_items:
            return cls(0.0, 1.0, 0.0)
        others = num_items - len(responses)
        mean = float(responses.sum()) / num_items
        variance = (float(np.square(responses - mean).sum()) + others * mean * mean) / num_items
        lowest = float(responses.min()) if len(responses) else 0.0
        return cls(mean, max(float(np.sqrt(variance)), SMALLEST_SD), min(lowest, 0.0) if others else lowest)

    def weighed(self, responses: Responses, z_weight: float, log_weight: float) -> Responses:
        """Return z_weight · z + log_weight · log(0.1 + z − min z) of responses of any shape."""
        z = (responses - self.mean) / self.sd
        weighed: Responses = z_weight * z + log_weight * np.log(FLOOR + (responses - self.lowest) / self.sd)
        return weighed

    def slopes(self, responses: Float64Array, z_weight: float, log_weight: float) -> Float64Array:
        """Return what one unit of response adds to `weighed`, on the way from zero to each response.

        Times a part of the response it is the part's share in the score. The parts of a response add up to what the
        item's score is above that of an item with response zero. Where zero is below the lowest response, the way
        begins at the lowest.
        """
        start = max(self.lowest, 0.0)
        way = responses - start
        near = np.abs(way) < 1e-6 * self.sd  # the quotient has no digits left: the derivative is its limit
        rise = np.log(FLOOR + (responses - self.lowest) / self.sd) - np.log(FLOOR + (start - self.lowest) / self.sd)
        derivative = 1.0 / (self.sd * FLOOR + (start - self.lowest))
        of_log = np.where(near, derivative, rise / np.where(near, 1.0, way))
        return np.asarray(z_weight / self.sd + log_weight * of_log)
