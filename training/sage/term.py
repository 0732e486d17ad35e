"""GraphSAGE as a term of the score.

Arrives: a fitted model. Leaves: one feature for each shopper and item, and item embeddings for similar items. Next:
`training.blend.blend` weighs it.

The state holds weights and embeddings, no events: a bundle keeps nothing of a shopper, so `forget` need not look into
bundles. An update needs the past for its graph and for replay, and takes it from whoever has the snapshot; a term that
was just fitted or updated remembers it.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import SageConfig
from training.data.event_log import EventLog, Histories, Moment, joined
from training.graph.bipartite import BipartiteGraph
from training.graph.profiles import Profiles
from training.options import Look
from training.sage.baskets import Baskets
from training.sage.model import GraphSAGE
from training.sage.trainer import Trainer
from training.terms.protocol import Term

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Memory:
    """What the term was fitted on."""

    log: EventLog
    features: Tensor  # [num_items, width]


class SageTerm(Term):
    """The model with its item embeddings as of the last fit or update."""

    name = "graphsage"
    title = "GraphSAGE"
    needs_past = True
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
        looks: Sequence[Look] = (),
    ) -> None:
        """From the model's item `embeddings` [num_items, dim] over some graph; `over` computes them."""
        self.model = model.eval()
        self.config = config
        self.seed = seed
        self.steps = steps
        """Steps of descent behind the weights; for a refit on more events, a `max_steps` that needs no validation."""
        self.updates = updates
        self._looks = tuple(looks)
        self._memory: _Memory | None = None
        self._set(embeddings)

    @classmethod
    def over(
        cls,
        model: GraphSAGE,
        log: EventLog,
        features: Tensor,
        *,
        config: SageConfig,
        seed: int,
        steps: int = 0,
        looks: Sequence[Look] = (),
    ) -> Self:
        """With embeddings over the graph of `log`, which the term remembers for its next update."""
        term = cls(model, torch.zeros(0, config.dim), config=config, seed=seed, steps=steps, looks=looks)
        term._refresh(log, features)
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
    def looks(self) -> tuple[Look, ...]:
        """Oldest first, past the best look to where the fit stopped; updates add nothing to them."""
        return self._looks

    @property
    def item_embeddings(self) -> Tensor:
        """Unit vectors [num_items, dim]: their products are cosines, for similar items."""
        return self._unit_items

    @torch.no_grad()
    def score(self, histories: Histories, *, as_of: Moment) -> Tensor:
        """The decoder's score, bias included: [B, num_items, 1]. Ranks decide, so `as_of` changes nothing."""
        return self.model.decoder.score(self._users(histories), self._prepared, self.model.item_bias)[:, :, None]

    @torch.no_grad()
    def user_vectors(self, histories: Histories) -> Tensor:
        """Unit vectors [B, dim], zero for an empty history."""
        return F.normalize(self._users(histories), dim=1)

    def _users(self, histories: Histories) -> Tensor:
        """User vectors [B, dim] as the decoder takes them."""
        profiles = Profiles.from_histories(histories, last=self.config.last_items, num_items=self.num_items)
        return self.model.encode_users(self._embeddings, profiles)

    def update(self, events: EventLog, *, past: EventLog | None = None, features: Tensor | None = None) -> None:
        """Go on from the present weights on `events` and replayed old ones, then refresh all embeddings.

        `features` [num_items, width] are of the items of `events`; new items come last. Where they have fewer rows
        than that, the missing ones are zero (logged). Old baskets are drawn with a recency half-life.
        """
        if self._memory is not None:
            past = self._memory.log if past is None else past
            features = self._memory.features if features is None else features
        if past is None or features is None:
            raise RuntimeError("a loaded GraphSAGE term has no past: give it with update(events, past=…, features=…)")
        config = self.config
        self.updates += 1
        rng = np.random.default_rng([self.seed, self.updates])
        log, is_new = joined(past, events)
        features = _padded(features, log.num_items)
        self.model.extend(log.num_items)
        baskets = Baskets.from_log(log, repeats=config.repeats, ties=config.ties, seed=self.seed)
        new = np.flatnonzero(baskets.holding(is_new))
        old = np.delete(np.arange(len(baskets)), new)
        if len(new):
            descent = Trainer(
                self.model,
                features,
                BipartiteGraph.from_log(log),
                np.bincount(log.items, minlength=log.num_items),
                config=config,
                learning_rate=config.update_learning_rate,
                rng=rng,
            )
            age_seconds = (baskets.times.max() - baskets.times[old]) / 1000
            log_share = -np.log(2) * age_seconds / config.replay_half_life_seconds
            replayed = min(len(old), round(config.replay_ratio * len(new)))
            for _ in range(config.update_epochs):
                # The largest of log p + Gumbel noise are a draw without replacement, however small p becomes.
                again = old[np.argsort(-log_share - rng.gumbel(size=len(old)))[:replayed]]
                for chosen in descent.batches(baskets, np.concatenate([new, again])):
                    descent.step(baskets, chosen)
            self.model = descent.average.eval()
            self.steps += descent.steps
        self._refresh(log, features)

    @torch.no_grad()
    def _refresh(self, log: EventLog, features: Tensor) -> None:
        self._memory = _Memory(log, features)
        self._set(self.model.encode_items(features, BipartiteGraph.from_log(log)))

    @torch.no_grad()
    def _set(self, embeddings: Tensor) -> None:
        self._embeddings = embeddings  # [num_items, dim]
        self._unit_items = F.normalize(embeddings, dim=1)
        self._prepared = self.model.decoder.prepare(embeddings)  # [num_items, dim], once for all shoppers

    def state(self) -> dict[str, Tensor]:
        """Weights, embeddings, and the configuration as the bytes of its JSON."""
        settings = {
            "config": self.config.model_dump_json(),
            "seed": self.seed,
            "updates": self.updates,
            "steps": self.steps,
            "looks": self.looks,
        }
        weights = {f"model.{name}": weight.detach().clone() for name, weight in self.model.state_dict().items()}
        text = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy()
        return {**weights, "embeddings": self._embeddings, "settings": torch.from_numpy(text)}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> Self:
        """Scores as before; an update needs the past and the features."""
        settings = json.loads(state["settings"].numpy().tobytes())
        config = SageConfig.model_validate_json(settings["config"])
        weights = {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}
        if "log_temperature" in weights:  # before there were other decoders the model itself had it
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
            looks=[Look(*look) for look in settings.get("looks", [])],  # older bundles kept none
        )


def _padded(features: Tensor, num_items: int) -> Tensor:
    missing = num_items - features.size(0)
    if missing <= 0:
        return features
    if features.size(1):
        logger.warning("%d new items have no features: zeros stand in", missing)
    return torch.cat([features, torch.zeros(missing, features.size(1))])
