"""The benchmark of the ranker, with a tiny shop: every kind of request is ranked by the real process."""

import pytest

from benchmarks.ranker import makers, measure_kinds, shop_log, synthetic_model

pytestmark = [pytest.mark.service, pytest.mark.slow]


def test_the_process_ranks_every_kind_of_request() -> None:
    found = measure_kinds(120, requests=10)
    assert set(found.milliseconds) == set(makers(120))
    assert sum(len(taken) for taken in found.milliseconds.values()) == 10
    assert all((taken > 0).all() for taken in found.milliseconds.values())
    assert found.cpu_ms > 0


def test_the_model_has_every_term_that_costs_time() -> None:
    model = synthetic_model(shop_log(60))
    assert [term.name for term in model.terms] == ["filters", "trend", "repeat", "graphsage"]
    embeddings = model.terms[-1].item_embeddings
    assert embeddings is not None and tuple(embeddings.shape) == (60, 64)
