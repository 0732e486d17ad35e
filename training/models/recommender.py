"""Recommender: a model for serving, which works with item keys and times instead of rows.

Arrives: terms and their blend, fitted or loaded by `training.models.bundle`. Leaves: the best items for users, and
similar items. Next: `serving.publisher` recommends to all users, `serving.nearline` to one user,
`training.lifecycle.run` compares models.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import LARGEST_SCORE, BoolArray, Float32Array, IntArray, offsets_of
from graphstore.tables import HOUR_MS
from training.blend.blend import Blend
from training.data.event_log import AsOf, Histories
from training.data.windows import BLOCK_CELLS
from training.evaluation.ranking import Scorer, top_k
from training.features.items import ItemEncoder
from training.models.arrivals import EncodedItems, arrivals_of, late_items
from training.models.evidence import Evidence, evidence_of
from training.models.new_items import NewItems
from training.models.similar import item_embeddings, similar_items
from training.models.topk import best_of_one
from training.terms.protocol import Term


class Recommender:
    """A model with its item order. Item rows are indices into `item_ids` and `item_keys`."""

    def __init__(  # noqa: PLR0913 - the parts of a bundle, each under its name in the bundle
        self,
        *,
        model_version: str,
        kind: str,
        as_of: int,
        repeats: bool,
        item_ids: list[str],
        item_keys: IntArray,
        available: BoolArray,
        terms: Sequence[Term],
        blend: Blend,
        encoder: ItemEncoder | None = None,
    ) -> None:
        self.model_version = model_version
        self.kind = kind
        self.as_of = as_of
        """Epoch ms. The model knows all events before this time."""
        self.repeats = repeats
        """Whether a list may contain items of the user's history."""
        self.item_ids = item_ids
        self.item_keys = item_keys  # [num_items]
        self.available = available  # [num_items]
        self.terms = list(terms)
        self.blend = blend
        self.encoder = encoder
        """Encodes features of items that come later. None without GraphSAGE."""
        self.num_trained = len(item_keys)
        """The rows from here on are those of `extend`."""
        self._encoded = None if encoder is None else EncodedItems(encoder)
        self._clock = as_of
        self._order = np.argsort(item_keys, kind="stable")

    def copy(self) -> Self:
        """Return a model whose trend can be refreshed without a change of this one. All arrays are shared."""
        model = copy.copy(self)
        model.terms = [copy.copy(term) for term in self.terms]
        return model

    @property
    def num_items(self) -> int:
        return len(self.item_keys)

    def rows_of(self, item_keys: IntArray) -> IntArray:
        """Return the rows [n] of item keys, −1 for an unknown item."""
        if not self.num_items:
            return np.full(len(item_keys), -1, dtype=np.int64)
        indices = np.searchsorted(self.item_keys, item_keys, sorter=self._order).clip(max=self.num_items - 1)
        rows = self._order[indices]
        return np.where(self.item_keys[rows] == item_keys, rows, -1)

    def histories(self, per_user: Sequence[Sequence[tuple[int, int, int]]]) -> Histories:
        """Return histories from each user's (item_key, time ms, event type), in any order, without unknown items."""
        flat = np.array([event for user in per_user for event in user], dtype=np.int64).reshape(-1, 3)
        users = np.repeat(np.arange(len(per_user)), [len(user) for user in per_user])
        rows = self.rows_of(flat[:, 0])
        order = np.lexsort((flat[:, 1], users))
        order = order[rows[order] >= 0]
        counts = np.bincount(users[order], minlength=len(per_user))
        return Histories(
            offsets=offsets_of(counts),
            items=rows[order],
            times=flat[order, 1],
            types=flat[order, 2].astype(np.int8),
        )

    @torch.no_grad()
    def score(self, histories: Histories, *, as_of: AsOf) -> Tensor:
        """Return blended scores [B, num_items] without any mask.

        The model's clock stops after its newest event, so nothing decays while a shop is closed.
        """
        known = np.minimum(as_of, self._clock) if isinstance(as_of, np.ndarray) else min(as_of, self._clock)
        return self.blend.score(self.terms, histories, as_of=known)

    @torch.no_grad()
    def recommend(self, histories: Histories, *, as_of: AsOf, k: int) -> tuple[IntArray, Float32Array]:
        """Return the k best rows [B, k] and their scores, best first. Missing items have row −1 and score −inf.

        Lists leave out unavailable items and, without repeats, the items of the history. For an empty history the trend
        recommends. Scores fit half precision. Raises `FloatingPointError` for NaN.
        """
        step = max(1, BLOCK_CELLS // max(self.num_items, 1))
        missing = torch.from_numpy(~self.available)
        parts = []
        for first in range(0, len(histories), step):
            block = histories.block(first, min(first + step, len(histories)))
            scores = self.score(block, as_of=as_of if isinstance(as_of, int) else as_of[first : first + len(block)])
            if bool(torch.isnan(scores).any()):
                raise FloatingPointError(f"model {self.model_version} scores NaN")
            scores = scores.clamp_(-LARGEST_SCORE, LARGEST_SCORE).masked_fill_(missing, -torch.inf)
            if not self.repeats:
                scores[torch.from_numpy(block.rows()), torch.from_numpy(block.items)] = -torch.inf
            parts.append(top_k(scores, k))
        if not parts:
            return np.empty((0, k), dtype=np.int64), np.empty((0, k), dtype=np.float32)
        return np.concatenate([rows for rows, _ in parts]), np.concatenate([scores for _, scores in parts])

    def similar(self, k: int, *, start: int = 0) -> tuple[IntArray, Float32Array]:
        """Return the k most similar items for each item from row `start` on (see `training.models.similar`)."""
        return similar_items(self.terms, self.available, k=k, start=start)

    def set_available(self, available: BoolArray) -> None:
        """Replace the mask [num_items] of the items that can be bought now. Lists leave out all others."""
        if len(available) != self.num_items:
            raise ValueError(f"{len(available)} flags for {self.num_items} items")
        self.available = np.array(available, dtype=np.bool_)

    def extend(self, new: NewItems) -> None:
        """Give items that came after the training a row at the end; an item that has such a row gets it anew.

        Items of the training are left as they are. An extended model only serves: it is neither saved nor trained on.
        Its counts are those of the next `refresh_trend`.
        """
        late = late_items(new.items, self.item_keys, num_trained=self.num_trained)
        if not late.items:
            return
        added = late.items[len(late.items) - late.num_added :]
        self.item_ids = [*self.item_ids, *(item.item_id for item in added)]
        self.available = np.append(self.available, [item.available for item in added])
        self.item_keys = np.append(self.item_keys, np.array([item.item_key for item in added], dtype=np.int64))
        self._order = np.argsort(self.item_keys, kind="stable")
        new = replace(new, items=late.items)
        arrivals = arrivals_of(new, self.item_keys, late.rows, rare=self._rare(), encoded=self._encoded)
        for term in self.terms:
            term.extend(arrivals)

    def _rare(self) -> BoolArray:
        """Return a mask [num_trained] of the items with at most the median count, all where nothing counts events."""
        counts = next((counts for term in self.terms if (counts := term.item_counts) is not None), None)
        if counts is None or not self.num_trained:
            return np.ones(self.num_trained, dtype=np.bool_)
        trained = counts[: self.num_trained]
        return np.asarray(trained <= np.median(trained))

    @torch.no_grad()
    def rank_one(
        self,
        history: Sequence[tuple[int, int, int]],
        *,
        as_of: int,
        k: int,
        mask: BoolArray | None = None,
        rows: IntArray | None = None,
        known: bool | None = None,
    ) -> tuple[IntArray, Float32Array]:
        """Return the best rows [≤ k] for one history, best first, and their scores. It never pads.

        The scores are those of `recommend`. Raises `FloatingPointError` for NaN.

        Args:
            history: (item_key, time in epoch ms, event type) of one shopper, in any order. Unknown items are ignored.
            as_of: the time of the scores (epoch ms).
            k: the largest length.
            mask: [num_items] only these items, besides those that cannot be bought. None: all items.
            rows: only these rows, in any order. None: all rows.
            known: False: no item of the history. True: only these. None: as `recommend` does.
        """
        one = self.histories([history])
        scores = self.blend.score_one(self.terms, one, as_of=min(as_of, self._clock))
        if np.isnan(scores).any():
            raise FloatingPointError(f"model {self.model_version} scores NaN")
        allowed = self.available if mask is None else self.available & mask
        if rows is not None:
            chosen = np.zeros(self.num_items, dtype=np.bool_)
            chosen[rows] = True
            allowed = allowed & chosen
        if known is not None or not self.repeats:
            is_known = np.zeros(self.num_items, dtype=np.bool_)
            is_known[one.items] = True
            allowed = allowed & (is_known if known else ~is_known)
        found, best = best_of_one(scores, allowed, k=k)
        return found, best.clip(-LARGEST_SCORE, LARGEST_SCORE)

    @torch.no_grad()
    def evidence(
        self, history: Sequence[tuple[int, int, int]], rows: IntArray, *, as_of: int, carriers: int = 3
    ) -> list[Evidence]:
        """Return why the items `rows` stand where they stand for one history (see `training.models.evidence`)."""
        return evidence_of(
            self.terms,
            self.blend,
            self.histories([history]),
            rows,
            as_of=min(as_of, self._clock),
            item_keys=self.item_keys,
            carriers=carriers,
        )

    def item_vectors(self) -> Float32Array | None:
        """Return unit vectors [num_items, dim] whose products are item similarities, or None without embeddings."""
        embeddings = item_embeddings(self.terms)
        return None if embeddings is None else embeddings.numpy()

    def refresh_trend(self, hours: IntArray, item_keys: IntArray, counts: IntArray) -> None:
        """Replace event counts by hour and item key with those of the table `item_buckets`.

        The new counts replace the model's own from the earliest given hour. The model's clock moves to the end of the
        newest hour.
        """
        rows = self.rows_of(item_keys)
        known = rows >= 0
        for term in self.terms:
            term.refresh(hours[known], rows[known], counts[known])
        if len(hours):
            self._clock = max(self._clock, (int(hours.max()) + 1) * HOUR_MS)

    def aligned_scorer(self, item_keys: IntArray) -> Scorer:
        """Return a scorer for another item order. Items that this model does not know score −inf."""
        rows = self.rows_of(item_keys)  # row in this model of each item in the other order
        known = np.flatnonzero(rows >= 0)

        def score(histories: Histories, *, as_of: AsOf) -> Tensor:
            model_rows = rows[histories.items]
            known_events = model_rows >= 0
            counts = np.bincount(histories.rows()[known_events], minlength=len(histories))
            translated = Histories(
                offsets=offsets_of(counts),
                items=model_rows[known_events],
                times=histories.times[known_events],
                types=histories.types[known_events],
            )
            scores = torch.full((len(histories), len(item_keys)), -torch.inf)
            scores[:, known] = self.score(translated, as_of=as_of)[:, rows[known]]
            return scores

        return score
