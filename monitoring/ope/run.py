"""Run: answers what another model or setting would have had, from the log of the shop.

Arrives: an engine, a model, a question. Leaves: an `Answer`. Next: the verb `ope` prints it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlalchemy import Engine, select

from graphstore.session import read
from graphstore.tables import for_sale, items
from monitoring.ope.estimators import Evaluation, NoSupport, TooLittleData, evaluate
from monitoring.ope.logs import MOST_LISTS, Selection, ShownList, shares_of_new_items, shown_lists
from monitoring.ope.target import Candidates, candidates, lists_under
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


def ask(
    engine: Engine, question: Question, *, model: Recommender | None, load: Callable[[str], Recommender | None]
) -> Answer:
    """Return what the other policy would have had. Raises `TooLittleData`, `NoSupport`, `UnknownShare`.

    Args:
        engine: The database with the log.
        question: The lists that count, and the other settings.
        model: The model of the other policy. Only lists that were shown after the newest event of its training count,
            because an older click may have taught it. None: each list is ranked by the model that ranked it.
        load: Returns a model by its version, or None when its bundle is gone. Only called without `model`.
    """
    selection, notes = question.selection, []
    if model is not None and selection.start < model.as_of:
        selection = replace(selection, start=model.as_of)
        notes.append(f"only lists after {utc(model.as_of):%Y-%m-%d %H:%M} count: the model has learned from older ones")
    with read(engine) as connection:
        with _told(notes):
            shown = shown_lists(connection, selection)
        gone = set(connection.scalars(select(items.c.item_id).where(~for_sale)))
    if len(shown) == MOST_LISTS:
        notes.append(f"only the newest {MOST_LISTS:,} lists count")
    gone -= {item.item_id for one in shown for item in one.items}  # they were available then
    versions = sorted({one.model_version for one in shown}) if model is None else [None]
    kept: list[ShownList] = []
    listed: list[Candidates] = []
    for version in versions:
        theirs = [one for one in shown if version in (None, one.model_version)]
        ranker = model if version is None else load(version)
        if ranker is None:
            notes.append(f"{len(theirs):,} lists of {version} are left out: its bundle is gone")
            continue
        kept += theirs
        listed += candidates(ranker, ShopSource(engine), theirs, k=question.list_length, left_out=frozenset(gone))
    variants = sorted({one.variant for one in kept})
    with read(engine) as connection:
        shares = shares_of_new_items(connection, variants)
    lists = lists_under(kept, listed, question.how, positions=selection.positions, shares=shares)
    with _told(notes):
        return Answer(evaluate(lists, clip=question.clip), variants, notes)


@contextmanager
def _told(notes: list[str]) -> Iterator[None]:
    """Add the notes to a refusal, because they may be its reason."""
    try:
        yield
    except (NoSupport, TooLittleData) as error:
        raise type(error)("; ".join([str(error), *notes])) from error
