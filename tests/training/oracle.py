"""A world for the blend: one feature is the truth that everybody chooses by, one is noise."""

import numpy as np
import torch

from tests.training.checkerboard import make_log
from training.data.event_log import EventLog
from training.terms.protocol import Term
from training.terms.trend import Trend

NUM_ITEMS = 30
HOUR_MS = 3_600_000


class Oracle(Term):
    """Knows the softmax from which everybody chooses, beside a feature of noise."""

    name = "oracle"
    title = "oracle"
    feature_names = ("truth", "noise")

    def __init__(self, truth: torch.Tensor, noise: torch.Tensor) -> None:
        self.features = torch.stack([truth, noise], dim=1)

    @property
    def num_items(self):
        return len(self.features)

    def update(self, grown, *, features=None):
        raise AssertionError

    def extend(self, arrivals):
        raise AssertionError

    def score(self, histories, *, as_of):
        return self.features.repeat(len(histories), 1, 1)

    def state(self):
        raise AssertionError

    @classmethod
    def from_state(cls, state):
        raise AssertionError


def choices_of_an_oracle() -> tuple[EventLog, Oracle, Trend]:
    """Users choose from softmax(1.5 · truth); half have a long past, half one event."""
    rng = np.random.default_rng(0)
    truth, noise = rng.normal(size=(2, NUM_ITEMS))
    chances = np.exp(1.5 * truth) / np.exp(1.5 * truth).sum()
    rows = []
    for user in range(600):
        past = rng.integers(NUM_ITEMS, size=20 if user % 2 else 1)
        rows.extend((user, int(item), place * HOUR_MS) for place, item in enumerate(past))
        rows.append((user, int(rng.choice(NUM_ITEMS, p=chances)), 100 * HOUR_MS))
    log = make_log(rows, num_users=600, num_items=NUM_ITEMS)
    oracle = Oracle(torch.from_numpy(truth).float(), torch.from_numpy(noise).float())
    return log, oracle, Trend.fit(log.between(end=100 * HOUR_MS), (10.0,))
