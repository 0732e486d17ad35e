"""Run: answers what another model or setting would have had, from the log of the shop.

Arrives: an engine, a model, a question. Leaves: an `Answer`. Next: the verb `ope` prints it.
"""

from dataclasses import dataclass, replace

from sqlalchemy import Engine, select

from graphstore.session import read
from graphstore.tables import items
from monitoring.ope.estimators import Evaluation, evaluate
from monitoring.ope.logs import MOST_LISTS, Selection, shares_of_new_items, shown_lists
from monitoring.ope.target import candidates, lists_under
from serving.routing import Exploration
from serving.source import ShopSource
from stream.events import utc
from training.models.recommender import Recommender


@dataclass(frozen=True)
class Question:
    """Lists that count, and the settings whose value is asked for."""

    selection: Selection
    how: Exploration
    list_length: int
    """The length of the list from which a slot draws."""
    clip: float | None = None


@dataclass(frozen=True)
class Answer:
    """The figures, the logged variants that they come from, and what a reader must know about them."""

    evaluation: Evaluation
    variants: list[str]
    notes: list[str]


def ask(engine: Engine, model: Recommender, question: Question) -> Answer:
    """Return what the model with these settings would have had. Raises `TooLittleData`, `NoSupport`, `UnknownShare`.

    Only lists that were shown after the newest event of the model's training count: an older click may have taught it.
    """
    selection, notes = question.selection, []
    if selection.start < model.as_of:
        selection = replace(selection, start=model.as_of)
        notes.append(f"only lists after {utc(model.as_of):%Y-%m-%d %H:%M} count: the model has learned from older ones")
    with read(engine) as connection:
        shown = shown_lists(connection, selection)
        variants = sorted({one.variant for one in shown})
        shares = shares_of_new_items(connection, variants)
        gone = set(connection.scalars(select(items.c.item_id).where(~items.c.available)))
    if len(shown) == MOST_LISTS:
        notes.append(f"only the newest {MOST_LISTS:,} lists count")
    gone -= {item.item_id for one in shown for item in one.items}  # they were available then
    listed = candidates(model, ShopSource(engine), shown, k=question.list_length, left_out=frozenset(gone))
    lists = lists_under(shown, listed, question.how, positions=selection.positions, shares=shares)
    return Answer(evaluate(lists, clip=question.clip), variants, notes)
