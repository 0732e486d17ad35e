"""Bundle lists: compute a list directly from a model's bundle and the graph in SQL, without running services.

Arrives: a model of the registry, a user or an item. Leaves: items with titles, best first. Next: the verbs
`recommend --model` and `similar --model` show them.

The list is made as the publisher makes it: with the user's newest events and the current trend. But it is for one user
and has no reasons, because these are in Redis. The published list of the same model may be older.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from graphstore import queries
from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError
from graphstore.session import now_ms, open_engine, read
from sagestream.registered import registered_bundle
from serving.coldstart import known
from serving.ranker import bring_up_to_date
from serving.recommendation import ListedItem, listed
from serving.source import ShopSource
from serving.storefront import UnknownItem
from training.models.bundle import load_bundle
from training.models.recommender import Recommender


class UnknownShopper(UserError):
    """The graph has no user with that id."""


@dataclass(frozen=True)
class ModelList:
    """Items of one model, best first."""

    model_version: str
    items: list[ListedItem]


def recommended(graph: GraphstoreConfig, model_version: str, user_id: str, *, k: int) -> ModelList:
    """Return the k best items for a user. Raises `UnknownShopper`, `UnknownModel`, `NoChampion`."""
    with _shop(graph) as shop:
        model = load_bundle(registered_bundle(graph, model_version))
        history = shop.histories_of([user_id]).get(user_id)
        if history is None:
            raise UnknownShopper(f"no shopper {user_id!r} in the graph: no event of theirs has come yet")
        bring_up_to_date(model, shop)
        rows, scores = model.recommend(model.histories([history]), as_of=now_ms(), k=k)
        return _listed(shop, model, rows[0].tolist(), scores[0].tolist())


def resembling(graph: GraphstoreConfig, model_version: str, item_id: str, *, k: int) -> ModelList:
    """Return the k items most similar to one item. Raises `UnknownItem`, `UnknownModel`, `NoChampion`."""
    with _shop(graph) as shop:
        model = load_bundle(registered_bundle(graph, model_version))
        bring_up_to_date(model, shop)
        if item_id not in model.item_ids:
            raise UnknownItem(f"{model.model_version} knows no item {item_id!r}")
        row = model.item_ids.index(item_id)
        rows, scores = model.similar(k)
        return _listed(shop, model, rows[row].tolist(), scores[row].tolist())


@contextmanager
def _shop(graph: GraphstoreConfig) -> Iterator[ShopSource]:
    engine = open_engine(graph.sqlalchemy_url)
    try:
        yield ShopSource(engine)
    finally:
        engine.dispose()


def _listed(shop: ShopSource, model: Recommender, rows: Sequence[int], scores: Sequence[float]) -> ModelList:
    chosen = [(model.item_ids[row], score) for row, score in zip(rows, scores, strict=True) if row >= 0]
    with read(shop.engine) as connection:
        found = {item.item_id: item for item in queries.items_by_id(connection, [item_id for item_id, _ in chosen])}
    # Drop items that the shop deleted after the model was trained.
    left = known([found.get(item_id) for item_id, _ in chosen], [score for _, score in chosen])
    return ModelList(model.model_version, listed(left))
