"""The term: scores, its state, and updates that warm-start."""

import json
import logging

import numpy as np
import pytest
import torch

from graphstore.arrays import IntArray
from tests.training.checkerboard import DAY_MS, checkerboard, joined, make_log
from training.config import SageConfig
from training.data.event_log import EventLog, Histories
from training.graph.bipartite import BipartiteGraph
from training.graph.profiles import Profiles
from training.options import TrainingOptions
from training.sage.baskets import Baskets
from training.sage.fit import fit_sage
from training.sage.term import SageTerm
from training.sage.trainer import Trainer

LOG = checkerboard()
CONFIG = SageConfig(
    dim=16,
    half_lives_ranks=(2.0, float("inf")),
    batch_size=64,
    learning_rate=0.02,
    update_learning_rate=0.02,
    max_steps=40,
)
FEATURES = torch.ones(LOG.num_items, 1)
NOW = 10 * DAY_MS


@pytest.fixture(scope="module")
def fitted() -> dict[str, torch.Tensor]:
    return fit_sage(LOG, FEATURES, config=CONFIG, options=TrainingOptions(seed=0)).state()


@pytest.fixture
def term(fitted) -> SageTerm:
    return SageTerm.from_state({name: value.clone() for name, value in fitted.items()})


def later_events(item: int, *, num_items: int, colour: int) -> EventLog:
    """Ten shoppers of one colour buy the item after the log."""
    rows = [(user, item, NOW + user) for user in range(colour, 20, 2)]
    return make_log(rows, num_users=LOG.num_users, num_items=num_items)


def test_scores_are_those_of_the_model(term):
    vectors = term.user_vectors(LOG.histories(np.arange(5)))
    expected = vectors @ term.item_embeddings.T / term.model.decoder.log_temperature.exp() + term.model.item_bias
    assert torch.allclose(term.score(LOG.histories(np.arange(5)), as_of=NOW)[:, :, 0], expected, atol=1e-5)


def test_a_shopper_without_history_gets_the_bias(term):
    scores = term.score(Histories.from_rows([[]]), as_of=NOW)
    assert torch.equal(scores[0, :, 0], term.model.item_bias)


def test_only_the_last_items_count(term):
    new = [(item, NOW + item, 3) for item in range(10)]
    short = SageTerm(term.model, term.item_embeddings, config=CONFIG.model_copy(update={"last_items": 10}), seed=0)
    with_past, without = (Histories.from_rows([[*past, *new]]) for past in ([(20, 1, 3), (21, 2, 3)], []))
    assert torch.equal(short.score(with_past, as_of=NOW), short.score(without, as_of=NOW))
    assert not torch.equal(term.score(with_past, as_of=NOW), term.score(without, as_of=NOW))


def test_the_state_keeps_what_the_next_update_goes_on_from(term):
    term.updates = 3
    again = SageTerm.from_state(term.state())
    assert (again.config, again.seed, again.steps, again.updates) == (term.config, term.seed, term.steps, term.updates)


def test_states_of_before_there_were_decoders_come_back(term):
    state = term.state()
    state["model.log_temperature"] = state.pop("model.decoder.log_temperature")
    settings = json.loads(state["settings"].numpy().tobytes())
    config = json.loads(settings["config"])
    for name in ("aggregation", "decoder", "neighbours"):
        del config[name]
    settings["config"] = json.dumps(config)
    state["settings"] = torch.frombuffer(bytearray(json.dumps(settings).encode()), dtype=torch.uint8)
    again = SageTerm.from_state(state)
    histories = LOG.histories(np.arange(5))
    assert torch.equal(again.score(histories, as_of=NOW), term.score(histories, as_of=NOW))


@pytest.mark.parametrize("settings", [{"decoder": "dot"}, {"decoder": "mlp", "aggregation": "max"}])
def test_other_decoders_come_back_score_as_the_model_and_have_unit_embeddings(settings):
    config = CONFIG.model_copy(update={"max_steps": 5, **settings})
    term = fit_sage(LOG, FEATURES, config=config, options=TrainingOptions(seed=0))
    again = SageTerm.from_state(term.state())
    histories = LOG.histories(np.arange(5))
    scores = term.score(histories, as_of=NOW)
    assert torch.equal(again.score(histories, as_of=NOW), scores)
    assert torch.allclose(term.item_embeddings.norm(dim=1), torch.ones(LOG.num_items), atol=1e-5)
    with torch.no_grad():
        items = term.model.encode_items(FEATURES, BipartiteGraph.from_log(LOG))
        profiles = Profiles.from_histories(histories, last=config.last_items, num_items=LOG.num_items)
        expected = term.model.score(term.model.encode_users(items, profiles), items, term.model.item_bias)
    assert torch.allclose(scores[:, :, 0], expected, atol=1e-5)
    term.update(joined(LOG, later_events(24, num_items=25, colour=1)), features=FEATURES)
    assert term.score(histories, as_of=NOW).shape == (5, 25, 1)


def test_an_update_learns_and_does_not_forget(term):
    """Item 0 is of colour 0; then shoppers of colour 1 buy it, and others of that colour are offered it more."""
    odd = LOG.histories(np.arange(21, 40, 2))
    before = term.score(odd, as_of=NOW)[:, :, 0]
    for _ in range(3):
        term.update(joined(LOG, later_events(0, num_items=LOG.num_items, colour=1)), features=FEATURES)
    after = term.score(odd, as_of=NOW)[:, :, 0]

    def rank(scores: torch.Tensor) -> float:
        return (scores > scores[:, :1]).sum(dim=1).float().mean().item()

    assert rank(after) < rank(before)
    assert (after[:, 2::2].amax(dim=1) < after[:, 1::2].amax(dim=1)).all()


def test_an_update_passes_over_new_baskets_and_three_times_as_many_old_ones(term, monkeypatch):
    seen: list[int] = []
    step = Trainer.step

    def spy(descent: Trainer, baskets: Baskets, chosen: IntArray) -> float:
        seen.extend(baskets.times[chosen].tolist())
        return step(descent, baskets, chosen)

    monkeypatch.setattr(Trainer, "step", spy)
    term.update(joined(LOG, later_events(0, num_items=LOG.num_items, colour=1)), features=FEATURES)
    new = [time for time in seen if time >= NOW]
    assert sorted(new) == sorted([NOW + user for user in range(1, 20, 2)] * CONFIG.update_epochs)
    assert len(seen) - len(new) == 3 * len(new)


def test_an_update_takes_no_more_steps_than_a_fit(term, caplog):
    before, term.config = term.steps, CONFIG.model_copy(update={"max_steps": 2})
    with caplog.at_level("INFO"):
        term.update(joined(LOG, later_events(0, num_items=LOG.num_items, colour=1)), features=FEATURES)
    assert term.steps - before == 2
    assert "the update of 10 baskets ended after 2 steps" in caplog.text


def test_replay_prefers_recent_baskets(term, monkeypatch):
    seen: list[int] = []
    monkeypatch.setattr(Trainer, "step", lambda _, baskets, chosen: seen.extend(baskets.times[chosen].tolist()) or 0.0)
    term.config = CONFIG.model_copy(update={"replay_half_life_seconds": 3600.0})
    term.update(joined(LOG, later_events(0, num_items=LOG.num_items, colour=1)), features=FEATURES)
    old = [time for time in seen if time < NOW]
    assert min(old) >= 5 * DAY_MS


def test_an_update_brings_new_items(term, caplog):
    grown = joined(LOG, later_events(24, num_items=25, colour=1))
    steps = term.steps
    with caplog.at_level(logging.WARNING):
        term.update(grown, features=FEATURES)
    assert "1 new items have no features" in caplog.text  # nothing else tells an operator
    assert term.steps > steps
    assert term.item_embeddings.shape == (25, 16)
    cosines = term.item_embeddings[24] @ term.item_embeddings[:24].T
    assert cosines[1::2].mean() > cosines[0::2].mean()
    again = SageTerm.from_state(term.state())
    again.update(joined(grown.log, later_events(24, num_items=26, colour=1)), features=torch.ones(26, 1))
    assert again.score(LOG.histories(np.arange(2)), as_of=NOW).shape == (2, 26, 1)


def test_an_update_without_events_changes_nothing_but_the_count(term):
    histories = LOG.histories(np.arange(5))
    before = term.score(histories, as_of=NOW)
    term.update(joined(LOG, LOG.between(end=0)), features=FEATURES)
    assert torch.allclose(term.score(histories, as_of=NOW), before, atol=1e-5)
    assert term.updates == 1
