"""Two processes fit what one fits, and none waits for a dead one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import together
from tests.training.together import FEATURES, LOG, run_together
from tests.waiting import without_waiting
from training.config import SageConfig
from training.graph.bipartite import BipartiteGraph
from training.options import TrainingOptions
from training.sage.baskets import Baskets
from training.sage.data_parallel import DataParallelTrainer, fit_data_parallel
from training.sage.model import GraphSAGE
from training.sage.process_group import ProcessGroup, ProcessGroupError
from training.sage.trainer import Trainer

WHOLE = {"max_steps": 30, "evaluate_every": 10, "graph_edges": 200}
SAMPLED = {"max_steps": 12, "evaluate_every": 6, "neighbours": (4, 3, 3, 2), "repeats": False, "decoder": "mlp"}


@pytest.mark.slow
def test_two_processes_fit_what_one_fits() -> None:
    alone = together.fits(ProcessGroup(), WHOLE, SAMPLED)
    first, second = run_together(together.fits, WHOLE, SAMPLED, size=2)
    for one, ours, theirs in zip(alone, first, second, strict=True):
        assert one.keys() == ours.keys() == theirs.keys() >= {"embeddings", "model.item_id", "model.layers.0.weight"}
        for name, weight in one.items():
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
            np.testing.assert_allclose(ours[name], weight, atol=1e-5, err_msg=name)
    moved = np.abs(alone[0]["model.item_bias"])
    assert moved.max() > 0.02  # or nothing was learned that could differ


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_of_a_step_add_up_to_it(size: int) -> None:
    """Baskets of uneven sizes over more processes than baskets, too: losses and gradients of the parts, summed."""
    config = SageConfig(dim=8, batch_size=50)
    baskets = Baskets.from_log(LOG, repeats=True)
    chosen = np.array([3, 40, 41, 200])[: 4 if size < 5 else 2]

    def make_trainer(kind: type[Trainer], **settings: ProcessGroup) -> Trainer:
        torch.manual_seed(0)
        model = GraphSAGE(LOG.num_items, 3, config)
        counts = np.bincount(LOG.items, minlength=LOG.num_items)
        rng = np.random.default_rng(0)
        graph = BipartiteGraph.from_log(LOG)
        return kind(model, FEATURES, graph, counts, config=config, learning_rate=0.1, rng=rng, **settings)

    whole = make_trainer(Trainer)
    loss = whole.loss(baskets, chosen)
    loss.backward()
    parts = [make_trainer(DataParallelTrainer, group=ProcessGroup(number, size)) for number in range(size)]
    losses = [part.loss(baskets, chosen) for part in parts]
    for part_loss in losses:
        part_loss.backward()
    torch.testing.assert_close(sum(losses), loss)
    for name, weight in whole.model.named_parameters():
        found = sum(part.model.get_parameter(name).grad for part in parts)
        torch.testing.assert_close(found, weight.grad, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.slow
def test_a_process_with_other_events_ends_it_before_the_first_step() -> None:
    first, second = run_together(together.fit_of_other_events, size=2)
    assert isinstance(first, ProcessGroupError)
    assert isinstance(second, ProcessGroupError)
    assert "process 1 of 2 has another data set" in str(first)


@pytest.mark.kill
def test_a_process_that_dies_ends_the_others(tmp_path: Path) -> None:
    with without_waiting(120):  # of the 240 that the other one waits where a death is not told
        first, second = run_together(together.fit_until_one_dies, tmp_path / "died", size=2, timeout_seconds=240.0)
    assert second is None
    assert (tmp_path / "died").exists()
    assert isinstance(first, ProcessGroupError)
    assert "process 0 of 2 waited in vain: another one is gone" in str(first)


def test_only_the_softmax_is_shared() -> None:
    with pytest.raises(ProcessGroupError, match="softmax"):
        fit_data_parallel(
            LOG, FEATURES, config=SageConfig(loss="bpr"), options=TrainingOptions(seed=0), group=ProcessGroup()
        )
