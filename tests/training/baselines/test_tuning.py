"""The search on a window where the best value is known."""

from dataclasses import dataclass

import pytest
import torch

from tests.training.checkerboard import checkerboard
from training.baselines.tuning import Tuning, settings_of
from training.data.splits import leave_last_out


@dataclass(frozen=True)
class Knobs:
    colour: str = "none"
    noise: float = 2.0


class Painter:
    """Scores the own colour up, with noise."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs

    def __call__(self, histories, *, as_of):
        own = torch.from_numpy(histories.items[histories.offsets[1:] - 1] % 2)
        scores = self.knobs.noise * torch.randn(len(histories), 24, generator=torch.Generator().manual_seed(1))
        if self.knobs.colour == "own":
            scores += (torch.arange(24) % 2 == own[:, None]).float()
        return scores


@pytest.fixture
def tuning():
    return Tuning(leave_last_out(checkerboard(), repeats=False), "painter", lambda line, share: None)


def test_greedy_takes_the_best_of_each_field_in_turn(tuning):
    chosen, model = tuning.greedy(Knobs(), Painter, {"colour": ("none", "own"), "noise": (0.1, 2.0, 8.0)})
    assert chosen == Knobs("own", 0.1)
    assert model.knobs == chosen


def test_greedy_keeps_the_first_of_equals(tuning):
    assert tuning.greedy(Knobs(noise=0.0), Painter, {"noise": (0.0, -0.0)})[0] == Knobs(noise=0.0)


def test_every_user_of_the_validation_is_asked():
    asked = []

    def spy(histories, *, as_of):
        asked.append(len(histories))
        return Painter(Knobs("own"))(histories, as_of=as_of)

    split = leave_last_out(checkerboard(num_users=1_200), repeats=False)
    Tuning(split, "spy", lambda line, share: None).ndcg(spy)
    assert sum(asked) == 1_200


def test_it_reports_what_it_does_in_order():
    seen: list[tuple[str, float]] = []
    split = leave_last_out(checkerboard(), repeats=False)
    tuning = Tuning(split, "painter", lambda line, share: seen.append((line, share)))
    tuning.greedy(Knobs(), Painter, {"colour": ("none", "own"), "noise": (0.1, 2.0)}, shares=(0.2, 0.6))
    assert seen[0] == ("painter: colour", pytest.approx(0.2))
    assert [share for _, share in seen] == sorted(share for _, share in seen)


class Wanderer:
    """Is best after its fourth step."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self) -> None:
        self.steps += 1

    def scorer(self) -> Painter:
        return Painter(Knobs("own", abs(self.steps - 4) * 0.5))


def test_training_stops_early_and_keeps_the_best(tuning):
    wanderer = Wanderer()
    steps, model, ndcg = tuning.stop_early(wanderer, at_most=50, every=2, patience=3, shares=(0.0, 1.0))
    assert (steps, wanderer.steps) == (4, 10)
    assert ndcg == tuning.ndcg(model)


def test_of_variants_the_best_is_kept(tuning):
    noisy = Knobs("own", 4.0)
    _, model, _ = tuning.stop_early(
        Wanderer(), at_most=4, every=4, patience=1, shares=(0, 1), variants=lambda scorer: [Painter(noisy), scorer]
    )
    assert model.knobs.noise == 0.0


def test_training_without_a_step_is_an_error(tuning):
    with pytest.raises(ValueError, match="no step"):
        tuning.stop_early(Wanderer(), at_most=0, every=1, patience=1, shares=(0.0, 1.0))


def test_settings_are_numbers_and_names():
    assert settings_of(Knobs()) == {"colour": "none", "noise": 2.0}
