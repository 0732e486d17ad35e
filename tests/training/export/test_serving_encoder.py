"""The module of plain tensors gives the vectors and scores of the term."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.training.checkerboard import checkerboard
from training.config import SageConfig
from training.data.event_log import Histories
from training.export.serving_encoder import ServingEncoder
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.sage.term import SageTerm

LOG = checkerboard()


def term_of(**settings: Any) -> SageTerm:
    config = SageConfig.model_validate({"dim": 8, "max_steps": 20, "learning_rate": 0.02, "last_items": 5, **settings})
    return fit_sage(LOG, torch.zeros(LOG.num_items, 0), config=config, options=TrainingOptions(seed=0))


def newest_first(histories: Histories, width: int) -> torch.Tensor:
    rows = torch.full((len(histories), width), -1)
    for user in range(len(histories)):
        items = histories.items[histories.offsets[user] : histories.offsets[user + 1]][::-1].copy()
        rows[user, : len(items)] = torch.from_numpy(items)
    return rows


@pytest.mark.parametrize("decoder", ["cosine", "dot", "mlp"])
@pytest.mark.parametrize("half_lives", [(2.0, float("inf")), (3.0,)])
def test_the_encoder_is_the_term(decoder: str, half_lives: tuple[float, ...]) -> None:
    """On histories longer than what a vector is made of, with items that come again, and none at all."""
    term = term_of(decoder=decoder, half_lives_ranks=half_lives)
    rng = np.random.default_rng(0)
    histories = Histories.from_rows(
        [[(int(rng.integers(LOG.num_items)), time, 0) for time in range(length)] for length in (0, 1, 2, 9, 40)]
    )
    with torch.no_grad():
        vectors, scores = ServingEncoder(term)(newest_first(histories, 43))
    expected = term.score(histories, as_of=0)[:, :, 0]
    assert expected.std() > 0.01
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vectors, term.user_vectors(histories), atol=1e-6, rtol=1e-5)
    assert not vectors[0].any()


def test_gaps_and_older_repeats_change_nothing() -> None:
    encoder = ServingEncoder(term_of())
    plain = encoder(torch.tensor([[4, 7, 2]]))[1]
    for row in ([4, -1, 7, -1, 2], [4, 4, 7, 4, 2, 7], [-1, 4, 7, 2, -1]):
        torch.testing.assert_close(encoder(torch.tensor([row]))[1], plain)
    assert not torch.allclose(encoder(torch.tensor([[2, 7, 4]]))[1], plain)
