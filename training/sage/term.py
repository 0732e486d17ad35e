"""GraphSAGE term of the score.

Arrives: a fitted model. Leaves: one feature for each user and item, and item embeddings for similar items. Next:
`training.blend.blend` weights it.

The state has weights and embeddings but no events. So a bundle contains no user data, and an erasure need not change
bundles. An update needs all events, for its graph and for replay: the caller brings them, and the term keeps none.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphstore.arrays import Float32Array, Float64Array, IntArray, distinct, offsets_of
from training.config import SageConfig
from training.data.event_log import AsOf, EventLog, GrownLog, Histories, newest_of
from training.graph.bipartite import BipartiteGraph
from training.graph.profiles import Profiles
from training.options import FitEvaluation
from training.sage.baskets import Baskets
from training.sage.model import GraphSAGE
from training.sage.trainer import Trainer
from training.terms.protocol import Arrivals, Term, with_rows

logger = logging.getLogger(__name__)


class SageTerm(Term):
    """The model with the item embeddings of the last fit or update."""

    name = "graphsage"
    title = "GraphSAGE"
    needs_features = True

    def __init__(
        self,
        model: GraphSAGE,
        embeddings: Tensor,
        *,
        config: SageConfig,
        seed: int,
        steps: int = 0,
        updates: int = 0,
        evaluations: Sequence[FitEvaluation] = (),
    ) -> None:
        """`embeddings` [num_items, dim] are the item embeddings of the model on a graph. `from_model` computes them."""
        self.model = model.eval()
        self.config = config
        self.seed = seed
        self.steps = steps
        """The number of optimiser steps of the weights. A refit on more events uses it as `max_steps`, without
        validation."""
        self.updates = updates
        self._evaluations = tuple(evaluations)
        self._embeddings: Tensor  # [num_items, dim]
        self._unit_items: Tensor  # [num_items, dim]
        self._prepared: Tensor  # [num_items, dim] the decoder's item part, once for all users
        self.bias: Tensor
        """What is added to the score of each item [num_items]."""
        self._set(embeddings)

    @classmethod
    def from_model(
        cls,
        model: GraphSAGE,
        log: EventLog,
        features: Tensor,
        *,
        config: SageConfig,
        seed: int,
        steps: int = 0,
        evaluations: Sequence[FitEvaluation] = (),
    ) -> Self:
        """Make a term with embeddings on the graph of `log`."""
        term = cls(model, torch.zeros(0, config.dim), config=config, seed=seed, steps=steps, evaluations=evaluations)
        term._refresh(features, BipartiteGraph.from_log(log))
        return term

    @property
    def feature_names(self) -> tuple[str, ...]:
        return ("graphsage",)

    @property
    def num_items(self) -> int:
        return self._embeddings.size(0)

    @property
    def num_parameters(self) -> int:
        return sum(weights.numel() for weights in self.model.parameters())

    @property
    def evaluations(self) -> tuple[FitEvaluation, ...]:
        """The evaluations of the fit, oldest first, until it stopped. Updates add no evaluations."""
        return self._evaluations

    @property
    def item_embeddings(self) -> Tensor:
        """Unit vectors [num_items, dim]. Their products are cosines, for similar items."""
        return self._unit_items

    @torch.no_grad()
    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return the score of the decoder with bias [B, num_items, 1]. Decay is by rank, so `as_of` has no effect."""
        return self.model.decoder.score(self._users(histories), self._prepared, self.bias)[:, :, None]

    @torch.no_grad()
    def score_one(self, history: Histories, weights: Float32Array, *, as_of: int) -> Float32Array:
        """Compute the same for one user."""
        scores = self.model.decoder.score(self._users(history), self._prepared, self.bias)[0]
        return scores.mul_(float(weights[0])).numpy()

    @torch.no_grad()
    def carried(self, history: Histories, weights: Float32Array, rows: IntArray, *, as_of: int) -> Float64Array:
        """Return what the score loses without each item of the history, at the newest event of the item.

        All events of an item are left out together: a second event would hide the first one. The values need not add
        up to the score.
        """
        own = distinct(history.items)
        kept = history.items[None, :] != own[:, None]  # [num_own, num_events]: one history without each item
        without = Histories(
            offsets=offsets_of(kept.sum(axis=1)),
            items=np.broadcast_to(history.items, kept.shape)[kept],
            times=np.broadcast_to(history.times, kept.shape)[kept],
            types=np.broadcast_to(history.types, kept.shape)[kept],
        )
        chosen = torch.from_numpy(rows)
        users = torch.cat([self._users(history), self._users(without)])
        scores = self.model.decoder.score(users, self._prepared[chosen], self.bias[chosen]).double().numpy()
        total = np.zeros((len(history.items), len(rows)))
        total[newest_of(history.items, own)] = float(weights[0]) * (scores[:1] - scores[1:])
        return total

    @torch.no_grad()
    def user_vectors(self, histories: Histories) -> Tensor:
        """Return unit vectors [B, dim], zero for an empty history."""
        return F.normalize(self._users(histories), dim=1)

    def _users(self, histories: Histories) -> Tensor:
        """Return user vectors [B, dim] for the decoder."""
        profiles = Profiles.from_histories(histories, last=self.config.last_items, num_items=self.num_items)
        return self.model.encode_users(self._embeddings, profiles)

    @torch.no_grad()
    def extend(self, arrivals: Arrivals) -> None:
        """Add the inductive embeddings of new items, by the layers on the graph of their neighbourhood.

        An item without events has no neighbours, and only its features describe it. That is exactly what the whole
        graph would give. With events, its neighbours have only their edges in this neighbourhood, like the sampled
        graphs of the fit.

        The bias is the mean over the items with few events: a new item is as unknown as they are. Rejected: zero, and
        the mean over all items, because frequent items raise both.
        """
        known = torch.from_numpy(arrivals.neighbours)
        ids = torch.cat([torch.zeros(len(arrivals.rows), self.config.dim), self.model.item_id[known]])
        features = None
        if arrivals.features is not None and arrivals.neighbour_features is not None:
            features = torch.cat([arrivals.features, arrivals.neighbour_features])
        graph = BipartiteGraph(arrivals.users, arrivals.items, int(arrivals.users.max(initial=-1)) + 1, len(ids))
        new = self.model.encode_arrivals(ids, features, graph)[: len(arrivals.rows)]
        rare = torch.from_numpy(arrivals.rare)[: len(self.bias)]
        self._embeddings = with_rows(self._embeddings, arrivals, new)
        self._unit_items = with_rows(self._unit_items, arrivals, F.normalize(new, dim=1))
        self._prepared = with_rows(self._prepared, arrivals, self.model.decoder.prepare(new))
        self.bias = with_rows(self.bias, arrivals, float(self.bias[: len(arrivals.rare)][rare].mean()))

    def update(self, grown: GrownLog, *, features: Tensor | None = None) -> None:
        """Continue the fit on new events and replayed old baskets, then refresh all embeddings.

        An update takes at most as many steps as a fit, so of very many events it learns from a random part; the graph
        has all of them. Old baskets are sampled with a recency half-life. `features` [num_items, width] are for the
        items of the log; new items come last. Missing rows become zero, with a log line. Raises `RuntimeError` without
        `features`.
        """
        if features is None:
            raise RuntimeError("GraphSAGE needs item features for an update")
        self.updates += 1
        num_items = grown.log.num_items
        features = _padded(features, num_items)
        self.model.extend(num_items)
        graph = BipartiteGraph.from_log(grown.log)
        self._continue_fit(grown, features, graph)  # its arrays are freed before those of the embeddings come
        self._refresh(features, graph)

    def _continue_fit(self, grown: GrownLog, features: Tensor, graph: BipartiteGraph) -> None:
        """Learn the new events of the log, among old ones."""
        config, log = self.config, grown.log
        rng = np.random.default_rng([self.seed, self.updates])
        baskets = Baskets.from_log(log, repeats=config.repeats, ties=config.ties, seed=self.seed)
        new = np.flatnonzero(baskets.with_targets_among(grown.is_new))
        if not len(new):
            return
        old = np.delete(np.arange(len(baskets)), new)
        trainer = Trainer(
            self.model,
            features,
            graph,
            np.bincount(log.items, minlength=log.num_items),
            config=config,
            learning_rate=config.update_learning_rate,
            rng=rng,
        )
        age_seconds = (baskets.times.max() - baskets.times[old]) / 1000
        log_share = -np.log(2) * age_seconds / config.replay_half_life_seconds
        replayed = min(len(old), round(config.replay_ratio * len(new)))

        def batches() -> Iterator[IntArray]:
            for _ in range(config.update_epochs):
                # Gumbel top-k: a sample without replacement that is stable for very small p.
                again = old[np.argsort(-log_share - rng.gumbel(size=len(old)))[:replayed]]
                yield from trainer.batches(baskets, np.concatenate([new, again]))

        # A million new events would be 7,800 steps, thirteen times a whole fit.
        for chosen in islice(batches(), config.max_steps):
            trainer.step(baskets, chosen)
        if trainer.steps == config.max_steps:
            logger.info("the update of %d baskets ended after %d steps, the most of a fit", len(new), trainer.steps)
        self.model = trainer.average.eval()
        self.steps += trainer.steps

    @torch.no_grad()
    def _refresh(self, features: Tensor, graph: BipartiteGraph) -> None:
        self._set(self.model.encode_items(features, graph))

    @torch.no_grad()
    def _set(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings
        self._unit_items = F.normalize(embeddings, dim=1)
        self._prepared = self.model.decoder.prepare(embeddings)
        self.bias = self.model.item_bias.detach()

    def state(self) -> dict[str, Tensor]:
        """Return weights, embeddings, and the settings as bytes of their JSON."""
        settings = {
            "config": self.config.model_dump_json(),
            "seed": self.seed,
            "updates": self.updates,
            "steps": self.steps,
            "looks": self.evaluations,
        }
        weights = {f"model.{name}": weight.detach().clone() for name, weight in self.model.state_dict().items()}
        text = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()
        return {**weights, "embeddings": self._embeddings, "settings": torch.from_numpy(text)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Restore a term from its state."""
        settings = json.loads(state["settings"].numpy().tobytes())
        config = SageConfig.model_validate_json(settings["config"])
        weights = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
        if "log_temperature" in weights:  # old states have it in the model
            weights["decoder.log_temperature"] = weights.pop("log_temperature")
        num_items = weights["item_id"].size(0)
        width = weights["project.weight"].size(1) if "project.weight" in weights else 0
        model = GraphSAGE(num_items, width, config)
        model.load_state_dict(weights)
        return cls(
            model,
            state["embeddings"],
            config=config,
            seed=settings["seed"],
            steps=settings["steps"],
            updates=settings["updates"],
            evaluations=[FitEvaluation(*values) for values in settings.get("looks", [])],  # old bundles have none
        )


def _padded(features: Tensor, num_items: int) -> Tensor:
    missing = num_items - features.size(0)
    if missing <= 0:
        return features
    if features.size(1):
        logger.warning("%d new items have no features: zeros stand in", missing)
    return torch.cat([features, torch.zeros(missing, features.size(1))])
