"""Item classifier: the GraphSAGE encoder with a linear head predicts missing attributes of items.

Arrives: a `BipartiteGraph`, item features, the classes of some items. Leaves: the classes of all items. Next: a caller
whose catalogue has gaps, such as a category, brand or department of only some items.

A fit may start from the encoder of a recommender, which does not change. All items are one batch, because the encoder
embeds all items in each step.

Source: Hamilton et al., "Inductive representation learning on large graphs", 2017, section 4.
"""

import copy
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import SageConfig
from training.graph.bipartite import MessageGraph
from training.options import TrainingOptions
from training.sage.model import GraphSAGE

NO_CLASS = -1


@dataclass(frozen=True)
class ItemLabels:
    """The classes of items, with masks for training and validation.

    Raises `ValueError` when the masks overlap or the lengths differ.
    """

    classes: Tensor  # [num_items] int64; -1: no class
    train_mask: Tensor  # [num_items] bool: items for training
    val_mask: Tensor  # [num_items] bool: items for early stopping

    def __post_init__(self) -> None:
        if not (len(self.classes) == len(self.train_mask) == len(self.val_mask)):
            raise ValueError("classes and masks are of different numbers of items")
        if (self.train_mask & self.val_mask).any():
            raise ValueError("items to learn from are among those that decide when to stop")


class ItemClassifier(nn.Module):
    """Logits of the classes: a linear head on `GraphSAGE.encode_items`."""

    def __init__(self, encoder: GraphSAGE, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.item_id.size(1), num_classes)
        self.steps = 0
        """The number of optimiser steps of the fit."""

    @classmethod
    def fit(
        cls,
        graph: MessageGraph,
        features: Tensor,
        labels: ItemLabels,
        *,
        config: SageConfig,
        options: TrainingOptions,
        encoder: GraphSAGE | None = None,
    ) -> Self:
        """Fit a classifier with cross entropy on the training items.

        The fit stops after `patience` evaluations without a lower cross entropy on the validation items, and returns
        the weights of the best evaluation. Without validation items it takes `max_steps` steps. Equal seeds give equal
        weights.

        Args:
            graph: the graph of items and users.
            features: [num_items, width] item features.
            labels: classes and masks.
            config: the shape, AdamW's step size and decay, `max_steps`, `evaluate_every` and `patience`. Other fields
                have no effect.
            options: seed and progress.
            encoder: the start of the fit. None: random weights.

        Raises:
            ValueError: no training item has a class, or labels and features have different lengths.
        """
        classes = labels.classes
        if len(classes) != len(features):
            raise ValueError("labels and features are of different numbers of items")
        known = classes != NO_CLASS
        train, validation = labels.train_mask & known, labels.val_mask & known
        if not train.any():
            raise ValueError("no item to learn from has a class")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            start = GraphSAGE(len(classes), features.size(1), config) if encoder is None else copy.deepcopy(encoder)
            classifier = cls(start, int(classes.max()) + 1)
        weights = list(classifier.parameters())
        optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
        best, best_loss, since_best = classifier, float("inf"), 0
        for step in range(1, config.max_steps + 1):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(classifier(features, graph)[train], classes[train])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            classifier.steps = step
            options.progress(f"step {step} loss {loss.item():.3f}", step / config.max_steps)
            if not validation.any() or (step % config.evaluate_every and step < config.max_steps):
                continue
            with torch.no_grad():
                held_out = F.cross_entropy(classifier(features, graph)[validation], classes[validation]).item()
            since_best += 1
            if held_out < best_loss:
                best, best_loss, since_best = copy.deepcopy(classifier), held_out, 0
            if since_best >= config.patience:
                break
        return best

    def forward(self, features: Tensor, graph: MessageGraph) -> Tensor:
        """Return logits [num_items, num_classes]."""
        logits: Tensor = self.head(self.encoder.encode_items(features, graph))
        return logits

    @torch.no_grad()
    def predict(self, features: Tensor, graph: MessageGraph) -> Tensor:
        """Return the most likely class of each item [num_items] int64."""
        return self(features, graph).argmax(dim=1)  # type: ignore[no-any-return]

    def accuracy(self, features: Tensor, graph: MessageGraph, labels: Tensor, mask: Tensor) -> float:
        """Return the share of correct predictions among items in `mask` that have a class. nan: no such items."""
        asked = mask & (labels != NO_CLASS)
        right = self.predict(features, graph)[asked] == labels[asked]
        return right.float().mean().item()
