"""Fit of GraphSAGE on an event log, with early stopping on a later window and resume from a checkpoint.

Arrives: an `EventLog`, item features, a seed. Leaves: a `SageTerm`. Next: `training.blend.fit` fits its weight together
with the other terms.
"""

import copy
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphstore.errors import UserError
from training.config import SageConfig
from training.data.event_log import AsOf, EventLog, Histories
from training.data.windows import Window
from training.evaluation.ranking import Scorer, evaluate
from training.graph.bipartite import BipartiteGraph
from training.graph.profiles import Profiles
from training.options import FitEvaluation, TrainingOptions
from training.sage.baskets import Baskets
from training.sage.checkpoint import fingerprint, save_checkpoint, take_checkpoint
from training.sage.model import GraphSAGE
from training.sage.term import SageTerm
from training.sage.trainer import Trainer

logger = logging.getLogger(__name__)

TOP = 20
MAX_VALIDATION_USERS = 2_000


class NothingToLearn(UserError):
    """No event in the log has a past, and GraphSAGE learns the next items after a past."""


def fit_sage(
    log: EventLog,
    features: Tensor,
    *,
    config: SageConfig,
    options: TrainingOptions,
    validation: Window | None = None,
    make_trainer: Callable[..., Trainer] = Trainer,
) -> SageTerm:
    """Fit GraphSAGE on `log`. Equal seeds and equal numbers of torch threads give equal weights.

    With a `validation` window, the fit stops after `patience` evaluations without a better NDCG@20 and returns the
    averaged weights of the best evaluation. Without a window it takes `max_steps` steps.

    With a checkpoint in `options`, the fit writes its state to that file every `evaluate_every` steps. The same fit
    resumes from the file and gets the same weights as without an interruption. Another fit logs a warning and starts
    from the beginning. The finished fit deletes the file.

    Args:
        log: the events.
        features: [num_items, width] item features.
        config: shape of the model and settings of the fit.
        options: seed, progress, checkpoint and callback.
        validation: the window for early stopping, or None.
        make_trainer: makes the trainer, with the arguments of `Trainer`.

    Raises:
        NothingToLearn: no basket has a past.
        ValueError: the features are not for the items of the log.
    """
    seed, checkpoint = options.seed, options.checkpoint
    if features.size(0) != log.num_items:
        raise ValueError(f"{features.size(0)} rows of features for {log.num_items} items")
    baskets = Baskets.from_log(log, repeats=config.repeats, ties=config.ties, seed=seed)
    if not len(baskets):
        raise NothingToLearn("no basket with a past: every user has events at one time only")
    window = validation.sample(MAX_VALIDATION_USERS, seed=seed) if validation is not None and len(validation) else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GraphSAGE(log.num_items, features.size(1), config)
    counts = np.bincount(log.items, minlength=log.num_items)
    unsold = torch.from_numpy(counts == 0)
    model.reset_cold_items(unsold)
    graph = BipartiteGraph.from_log(log)
    trainer = make_trainer(
        model,
        features,
        graph,
        counts,
        config=config,
        learning_rate=config.learning_rate,
        rng=np.random.default_rng(seed),
    )
    fit = _Fit(trainer)
    if checkpoint is not None:
        mark = fingerprint(log, features, window, config=config, seed=seed)
        found = take_checkpoint(checkpoint, fingerprint=mark)
        if found is not None:
            fit.restore(found)
            logger.info("goes on from step %d of %s", trainer.steps, checkpoint)
    while not fit.done:
        losses = [trainer.step(baskets, trainer.next_batch(baskets)) for _ in range(fit.steps_to_evaluation)]
        line = f"step {trainer.steps} loss {np.mean(losses):.3f}"
        ndcg: float | None = None
        if window is not None:
            with torch.no_grad():
                scorer = _scorer(trainer.average, features, graph, config.last_items)
                ndcg = evaluate(scorer, window, cutoffs=(TOP,)).metrics()[f"ndcg@{TOP}"]
            line += f" ndcg@{TOP} {ndcg:.4f}"
        fit.record(FitEvaluation(trainer.steps, float(np.mean(losses)), ndcg))
        logger.info(line)
        if checkpoint is not None:
            save_checkpoint(checkpoint, fit.state(), fingerprint=mark)
        options.progress(line, trainer.steps / config.max_steps)
        if options.on_evaluation is not None:
            options.on_evaluation(fit.evaluations[-1])
        if window is not None and options.enough():
            logger.info("stops after step %d: enough", trainer.steps)
            break
    best, best_step = (trainer.average, trainer.steps) if window is None else (fit.best, fit.best_step)
    best.reset_cold_items(unsold)
    term = SageTerm.from_model(
        best, log, features, config=config, seed=seed, steps=best_step, evaluations=fit.evaluations
    )
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return term


class _Fit:
    """The state of a fit: the trainer, the evaluations, and the weights of the best evaluation."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.best = copy.deepcopy(trainer.model)
        self.best_ndcg = -1.0
        self.best_step = 0
        self.evaluations: list[FitEvaluation] = []
        self.since_best = 0  # evaluations

    @property
    def done(self) -> bool:
        config = self.trainer.config
        return self.trainer.steps >= config.max_steps or self.since_best >= config.patience

    @property
    def steps_to_evaluation(self) -> int:
        """Steps to the next evaluation: at a multiple of `evaluate_every`, or after the last step."""
        config, steps = self.trainer.config, self.trainer.steps
        return min(config.evaluate_every - steps % config.evaluate_every, config.max_steps - steps)

    def record(self, evaluation: FitEvaluation) -> None:
        self.evaluations.append(evaluation)
        if evaluation.ndcg is None:
            return
        self.since_best += 1
        if evaluation.ndcg > self.best_ndcg:
            self.best, self.best_ndcg = copy.deepcopy(self.trainer.average), evaluation.ndcg
            self.best_step, self.since_best = evaluation.step, 0

    def state(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        return {
            "descent": self.trainer.state(),
            "best": self.best.state_dict(),
            "best_ndcg": float(self.best_ndcg),
            "best_step": self.best_step,
            "looks": [list(values) for values in self.evaluations],
            "since_best": self.since_best,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.trainer.restore(state["descent"])
        self.best.load_state_dict(state["best"])
        self.best_ndcg, self.best_step = state["best_ndcg"], state["best_step"]
        self.evaluations = [FitEvaluation(*values) for values in state["looks"]]
        self.since_best = state["since_best"]


def _scorer(model: GraphSAGE, features: Tensor, graph: BipartiteGraph, last: int) -> Scorer:
    """Return a scorer for a model during its fit. Item embeddings are computed once for all users."""
    items = model.encode_items(features, graph)

    def score(histories: Histories, *, as_of: AsOf) -> Tensor:
        profiles = Profiles.from_histories(histories, last=last, num_items=graph.num_items)
        return model.score(model.encode_users(items, profiles), items, model.item_bias)

    return score
