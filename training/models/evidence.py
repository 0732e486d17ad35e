"""Evidence: why an item stands where it stands, term by term and event by event.

Arrives: the history of a shopper, rows of a model. Leaves: `Evidence` for each row. Next: `serving.online` sends it,
`serving.explain` puts it into words.

The terms' parts add up to the score. What an event adds to a part is exact for the terms that are linear in the events
(linear filters, factorisation, content, personal repeat). The habit term is not: an item's part is shared among the
item's own events by their age. Nor is GraphSAGE: there it is what the score loses without the event. The trend depends
on no event of the shopper, so no event carries it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphstore.arrays import Float64Array, IntArray, distinct
from graphstore.snapshots.graph import TYPE_WEIGHTS
from training.blend.blend import Blend
from training.data.event_log import Histories
from training.terms.protocol import Term


@dataclass(frozen=True)
class Carrier:
    """An item of the shopper's history whose events raised a score."""

    item_key: int
    event_type: int
    """Index in EVENT_TYPES: of the item's events, the one that counts most."""
    share: float
    """Its part of all that the shopper's events add to the score. Items that lower the score have none."""
    term: str
    """The name of the term in which it adds most."""


@dataclass(frozen=True)
class Evidence:
    """Why one item stands where it stands."""

    item_key: int
    terms: dict[str, float]
    """The part of each term, by name. Their sum is the score."""
    carriers: tuple[Carrier, ...]
    """Those with the largest shares, largest first."""


def evidence_of(
    terms: Sequence[Term],
    blend: Blend,
    history: Histories,
    rows: IntArray,
    *,
    as_of: int,
    item_keys: IntArray,
    carriers: int,
) -> list[Evidence]:
    """Return the evidence of the items `rows` for one history, with at most so many carriers each."""
    scores = {term.name: part[rows] for term, part in blend.parts_of_one(terms, history, as_of=as_of)}
    own = distinct(history.items)
    by_term = np.zeros((len(terms), len(own), len(rows)))
    for index, (term, weights, _) in enumerate(blend.weights_of_one(terms, history)):
        if len(own):
            carried = term.carried(history, weights, rows, as_of=as_of)
            np.add.at(by_term[index], np.searchsorted(own, history.items), carried)
    heaviest = _heaviest_types(history, own)
    shares = _shares(by_term.sum(axis=0))
    found = []
    for column, row in enumerate(rows):
        best = np.argsort(-shares[:, column], kind="stable")[:carriers]
        found.append(
            Evidence(
                item_key=int(item_keys[row]),
                terms={name: float(part[column]) for name, part in scores.items()},
                carriers=tuple(
                    Carrier(
                        item_key=int(item_keys[own[one]]),
                        event_type=int(heaviest[one]),
                        share=float(shares[one, column]),
                        term=terms[int(by_term[:, one, column].argmax())].name,
                    )
                    for one in best
                    if shares[one, column] > 0
                ),
            )
        )
    return found


def _shares(carried: Float64Array) -> Float64Array:
    """Return the share [num_own, num_rows] of each item in what raises the scores."""
    raising = np.maximum(carried, 0.0)
    total = raising.sum(axis=0)
    return np.asarray(raising / np.where(total > 0, total, 1.0))


def _heaviest_types(history: Histories, own: IntArray) -> IntArray:
    """Return the type of the event with the largest weight of each item [num_own]; of equal ones, the newest."""
    weights = np.asarray(TYPE_WEIGHTS)[history.types]
    order = np.lexsort((np.arange(len(history.items)), weights, history.items))
    last = np.searchsorted(history.items[order], own, side="right") - 1
    return history.types[order[last]].astype(np.int64)
