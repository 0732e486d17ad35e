"""Fits GraphSAGE on a log, with early stopping on the window after it.

Arrives: an `EventLog`, item features, a seed. Leaves: a `SageTerm`. Next: `training.blend` fits its weight among the
other terms.
"""

import copy
import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from training.baskets import Baskets
from training.config import SageConfig
from training.descent import Descent
from training.evaluate import Scorer, Window, evaluate
from training.histories import EventLog, Histories, IntArray, Moment
from training.model import GraphSAGE
from training.profiles import Profiles
from training.propagation import BipartiteGraph
from training.sage import SageTerm

logger = logging.getLogger(__name__)

TOP = 20
MAX_VALIDATION_USERS = 2_000

Progress = Callable[[str, float], None]
"""Called with a line to show and the share done so far."""


def fit_sage(
    log: EventLog,
    features: Tensor,
    *,
    config: SageConfig,
    seed: int,
    validation: Window | None = None,
    progress: Progress | None = None,
) -> SageTerm:
    """Fit on `log`; equal seeds give equal weights for one number of torch threads.

    With a `validation` window the averaged weights of the best look at it win and the fit stops after
    `patience` looks without a better NDCG@20; without one it takes `max_steps` steps. Raises `ValueError` where no
    basket has a past to learn from.
    """
    if features.size(0) != log.num_items:
        raise ValueError(f"{features.size(0)} rows of features for {log.num_items} items")
    baskets = Baskets.from_log(log, repeats=config.repeats, ties=config.ties, seed=seed)
    if not len(baskets):
        raise ValueError("no basket with a past: every user has events at one time only")
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GraphSAGE(log.num_items, features.size(1), config)
    counts = np.bincount(log.items, minlength=log.num_items)
    unsold = torch.from_numpy(counts == 0)
    model.without_events(unsold)
    graph = BipartiteGraph.from_log(log)
    descent = Descent(
        model,
        features,
        graph,
        counts,
        config=config,
        learning_rate=config.learning_rate,
        rng=rng,
    )
    window = validation.sample(MAX_VALIDATION_USERS, seed=seed) if validation is not None and len(validation) else None
    best, best_ndcg, best_step, looks = copy.deepcopy(model), -1.0, 0, 0
    losses: list[float] = []
    for chosen in _endless(descent, baskets):
        losses.append(descent.step(baskets, chosen))
        done = descent.steps >= config.max_steps
        if descent.steps % config.evaluate_every and not done:
            continue
        line = f"step {descent.steps} loss {np.mean(losses):.3f}"
        losses.clear()
        if window is not None:
            with torch.no_grad():
                scorer = _scorer(descent.average, features, graph, config.last_items)
                ndcg = evaluate(scorer, window, cutoffs=(TOP,)).metrics()[f"ndcg@{TOP}"]
            line += f" ndcg@{TOP} {ndcg:.4f}"
            looks += 1
            if ndcg > best_ndcg:
                best, best_ndcg, best_step, looks = copy.deepcopy(descent.average), ndcg, descent.steps, 0
        logger.info(line)
        if progress is not None:
            progress(line, descent.steps / config.max_steps)
        if done or looks >= config.patience:
            break
    if window is None:
        best, best_step = descent.average, descent.steps
    best.without_events(unsold)
    return SageTerm.over(best, log, features, config=config, seed=seed, steps=best_step)


def _endless(descent: Descent, baskets: Baskets) -> Iterator[IntArray]:
    while True:
        yield from descent.batches(baskets, np.arange(len(baskets)))


def _scorer(model: GraphSAGE, features: Tensor, graph: BipartiteGraph, last: int) -> Scorer:
    """Scores with a model in the middle of its fit: item embeddings are computed once for all blocks of users."""
    items = model.encode_items(features, graph)

    def score(histories: Histories, *, as_of: Moment) -> Tensor:
        profiles = Profiles.from_histories(histories, last=last, num_items=graph.num_items)
        return model.score(model.encode_users(items, profiles), items, model.item_bias)

    return score
