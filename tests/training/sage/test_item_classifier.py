"""Classes of items: on a checkerboard an item's class is the colour of who buys it, and its features say nothing."""

import pytest
import torch

from tests.training.checkerboard import checkerboard, make_log
from training.config import SageConfig
from training.graph.bipartite import BipartiteGraph
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.sage.item_classifier import ItemClassifier, ItemLabels

LOG = checkerboard(num_users=200, num_items=60, bought=8)
GRAPH = BipartiteGraph.from_log(LOG)
SILENT = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
COLOURS = torch.arange(60) % 2
CONFIG = SageConfig(dim=16, learning_rate=0.02, weight_decay=0.01, max_steps=200, evaluate_every=5, patience=4)
DEALT = torch.randperm(60, generator=torch.Generator().manual_seed(1))


def mask(start: int, end: int) -> torch.Tensor:
    chosen = torch.zeros(60, dtype=torch.bool)
    chosen[DEALT[start:end]] = True
    return chosen


TRAIN, VALIDATION, TEST = mask(0, 16), mask(16, 28), mask(28, 60)


def fit(graph: BipartiteGraph = GRAPH, labels: torch.Tensor = COLOURS, **more) -> ItemClassifier:
    masks = {"train_mask": TRAIN, "val_mask": VALIDATION}
    masks = {name: more.pop(name, mask) for name, mask in masks.items()}
    settings = {"config": CONFIG, "options": TrainingOptions(seed=more.pop("seed", 0)), **more}
    return ItemClassifier.fit(graph, SILENT, ItemLabels(labels, **masks), **settings)


@pytest.mark.parametrize("aggregation", ["mean", "max", "lstm"])
def test_the_graph_tells_the_class_of_items_that_were_not_learned_from(aggregation):
    classifier = fit(config=CONFIG.model_copy(update={"aggregation": aggregation}))
    assert classifier.accuracy(SILENT, GRAPH, COLOURS, TEST) > 0.9
    assert classifier.predict(SILENT, GRAPH).shape == (60,)


def test_without_the_graph_there_is_nothing_to_tell_it_by():
    empty = BipartiteGraph.from_log(make_log([], num_users=1, num_items=60))
    assert fit(empty).accuracy(SILENT, empty, COLOURS, TEST) < 0.75


def test_items_without_a_class_are_neither_learned_from_nor_counted():
    partly = COLOURS.clone()
    partly[TRAIN & (torch.arange(60) < 30)] = -1
    wrong = COLOURS.clone()
    wrong[TRAIN & (torch.arange(60) < 30)] = 1 - wrong[TRAIN & (torch.arange(60) < 30)]
    ours = fit(labels=partly)
    assert not torch.equal(ours.head.weight, fit(labels=wrong).head.weight)
    only = TRAIN & (torch.arange(60) >= 30)
    assert torch.equal(ours.head.weight, fit(train_mask=only).head.weight)
    only_one = torch.full((60,), -1)
    only_one[7] = ours.predict(SILENT, GRAPH)[7]
    assert ours.accuracy(SILENT, GRAPH, only_one, torch.ones(60, dtype=torch.bool)) == 1.0


def test_it_stops_early_on_noise_and_keeps_the_best_look():
    noise = torch.randint(0, 2, (60,), generator=torch.Generator().manual_seed(5))
    assert fit(labels=noise).steps < 100
    none = torch.zeros(60, dtype=torch.bool)
    assert fit(labels=noise, val_mask=none, config=CONFIG.model_copy(update={"max_steps": 30})).steps == 30


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone():
    torch.manual_seed(9)
    ours = fit()
    drawn = torch.rand(1)
    assert torch.equal(ours.head.weight, fit().head.weight)
    assert not torch.equal(ours.head.weight, fit(seed=1).head.weight)
    torch.manual_seed(9)
    assert torch.equal(drawn, torch.rand(1))


def test_it_may_begin_with_an_encoder_that_recommends_and_leaves_it_alone():
    term = fit_sage(LOG, SILENT, config=CONFIG.model_copy(update={"max_steps": 20}), options=TrainingOptions(seed=0))
    before = {name: weight.clone() for name, weight in term.model.state_dict().items()}
    classifier = fit(encoder=term.model, config=CONFIG.model_copy(update={"max_steps": 10}))
    assert all(torch.equal(weight, before[name]) for name, weight in term.model.state_dict().items())
    assert classifier.accuracy(SILENT, GRAPH, COLOURS, TEST) > 0.9


def test_what_cannot_be_learned_is_refused():
    with pytest.raises(ValueError, match="no item to learn from"):
        fit(labels=torch.full((60,), -1))
    with pytest.raises(ValueError, match="decide when to stop"):
        fit(val_mask=TRAIN)
    with pytest.raises(ValueError, match="classes and masks"):
        fit(labels=COLOURS[:50])
    short = {"labels": COLOURS[:50], "train_mask": TRAIN[:50], "val_mask": VALIDATION[:50]}
    with pytest.raises(ValueError, match="labels and features"):
        fit(**short)
