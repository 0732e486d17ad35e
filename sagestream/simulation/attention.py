"""Attention: which positions of a list a shopper looks at.

Arrives: the length of a list and a random generator. Leaves: the number of positions that were seen. Next: `traffic`
lets the shopper click what was seen.

The shopper looks from the top and goes on to the next position with a fixed probability (the examination of the cascade
model without its stop at a click; Craswell et al., WSDM 2008). So position p, from 0, is seen with the probability
`persistence` to the power p, and what is seen is always the top of the list.
"""

from dataclasses import dataclass

import numpy as np

from graphstore.arrays import Float64Array

PERSISTENCE = 0.9
"""Of ten positions 6.5 are seen."""


@dataclass(frozen=True)
class Attention:
    """How far down shoppers look."""

    persistence: float = PERSISTENCE

    def __post_init__(self) -> None:
        if not 0 <= self.persistence <= 1:
            raise ValueError(f"{self.persistence} is not a probability")

    def curve(self, length: int) -> Float64Array:
        """Return the probability that each position is seen [length]."""
        return self.persistence ** np.arange(length, dtype=np.float64)

    def seen(self, length: int, chance: float) -> int:
        """Return how many positions are seen, for a uniform `chance` (0 <= chance < 1). The first one always is."""
        return int(np.count_nonzero(chance < self.curve(length)))
