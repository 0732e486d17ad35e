"""Budget: the CPU seconds that a search may take, and what is left out when they are gone.

Arrives: a number of seconds. Leaves: answers to "is there time for this step?". Next: `training.search.blend_search`
and `training.search.model_search` ask before each step that has a default.

A step that has begun goes on to its end, and the fit on all known events comes last, so a search may take longer than
its budget. The shares leave room for that.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Self

logger = logging.getLogger(__name__)

NO_BUDGET = "left out: the budget is spent"


@dataclass(frozen=True)
class SearchBudget:
    """CPU seconds of this process."""

    seconds: float = inf
    begun: float = 0.0
    clock: Callable[[], float] = time.process_time
    refused: list[str] = field(default_factory=list)
    """The steps that were left out."""

    @classmethod
    def start(cls, seconds: float = inf, *, clock: Callable[[], float] = time.process_time) -> Self:
        """Return a budget that begins now."""
        return cls(seconds, clock(), clock)

    @property
    def is_bounded(self) -> bool:
        """Whether there is a bound at all."""
        return self.seconds < inf

    @property
    def spent(self) -> float:
        """The share of the seconds that is spent, 0..1. Without a bound it is 0."""
        return min((self.clock() - self.begun) / self.seconds, 1.0) if self.seconds else 1.0

    def allows(self, step: str, share: float) -> bool:
        """Return whether less than this share (0..1) of the seconds is spent. A `step` that is not allowed is noted."""
        allowed = self.spent < share
        if not allowed and step not in self.refused:
            self.refused.append(step)
            logger.info("%s: %s", step, NO_BUDGET)
        return allowed
