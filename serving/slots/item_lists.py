"""Item lists: the kinds of slots that are about given items: what stands in for them, and what goes with them.

Arrives: a draft with the items of an item page, of a cart or of a search. Leaves: batches of items. Next:
`serving.slots.fill`.

For several items the parts are added before the logarithm: an item that goes with two of them goes before one that
goes with one as well.
"""

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from serving.cache import PackedList
from serving.rules.candidate import Candidate
from serving.slots.draft import Batch, Draft
from serving.slots.slot import Kind
from stream.events import utc

SMALLEST = 1e-4
"""A similarity at or below 0 counts as this one: its logarithm must be finite."""


def similar(draft: Draft) -> Iterator[Batch]:
    """Propose the items closest to the given ones, by the model. The score is the log of their similarities' sum."""
    if not draft.version:
        return
    about = [item.item_id for item in draft.about]
    lists = [packed for packed in draft.visit.store.lists.similar(draft.version, about) if packed is not None]
    if lists:
        yield Batch(_merged(draft, lists, Kind.SIMILAR), utc(min(packed.as_of for packed in lists)))


def bought_together(draft: Draft) -> Iterator[Batch]:
    """Propose what others bought together with the given items. The score is the log of the lifts' sum."""
    about = [item.item_id for item in draft.about]
    scores: dict[int, float] = {}
    for entries in draft.visit.store.shop.together(about):
        for item_key, score, _ in entries:
            scores[item_key] = float(np.logaddexp(scores.get(item_key, -math.inf), score))
    if scores:
        keys = sorted(scores, key=lambda key: (-scores[key], key))
        found = draft.by_key(keys, [scores[key] for key in keys], Kind.BOUGHT_TOGETHER)
        yield Batch(found, draft.visit.now)


def _merged(draft: Draft, lists: list[PackedList], source: str) -> list[Candidate]:
    scores: defaultdict[int, float] = defaultdict(float)
    for packed in lists:
        for item_key, score in zip(packed.item_keys.tolist(), packed.scores.tolist(), strict=True):
            scores[item_key] += max(score, SMALLEST)
    keys = sorted(scores, key=lambda key: (-scores[key], key))
    return draft.by_key(keys, [math.log(scores[key]) for key in keys], source)
