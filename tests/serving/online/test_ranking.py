"""A request, a history and a model to a ranking: a toy model whose right answers are known, and a real one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import Engine

from graphstore.catalogue import Item
from serving.online.catalogue_columns import CatalogueColumns
from serving.online.protocol import RankRequest, SessionEvent
from serving.online.ranking import SAME_EVENT_MS, NotRanked, OnlineRanking
from serving.ranker import load_ranker
from serving.rules.criteria import Criteria
from serving.source import ShopSource
from stream.events import EventType
from tests.serving.online.shop import open_shop
from tests.serving.test_real_model import BASKETS, T0
from tests.serving.toy import ITEMS, KEYS, MODEL, ToyRanker

NOW = 1_700_000_000_000
APPLE, BREAD, CHEESE, DATES, ELDER = KEYS.tolist()
VIEW, CART = 0, 2


class Recording(ToyRanker):
    """Remembers the history that it was asked with."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[tuple[int, int, int]] = []

    def rank_one(self, history: Any, **asked: Any) -> Any:
        self.history = list(history)
        return super().rank_one(history, **asked)


def columns_of(items: list[Item]) -> CatalogueColumns:
    columns = CatalogueColumns()
    columns.take(items)
    columns.whole = True
    return columns


def ranking(models: Mapping[str, ToyRanker] | None = None, items: list[Item] = ITEMS) -> OnlineRanking:
    found = {MODEL: ToyRanker()} if models is None else models
    return OnlineRanking(lambda: found, columns_of(items))


def keys(request: RankRequest, stored: list[tuple[int, int, int]] | None = None, **made: Any) -> list[int]:
    return ranking(**made).rank(request, stored or [], now=NOW).item_keys


def view(item_id: str, **fields: Any) -> SessionEvent:
    return SessionEvent(item_id=item_id, **fields)


def unknown_items() -> float:
    return REGISTRY.get_sample_value("sagestream_ranker_unknown_items_total") or 0.0


def test_a_shopper_is_ranked_by_their_stored_events_and_those_of_the_request() -> None:
    assert keys(RankRequest(user_id="ann")) == [APPLE, BREAD, CHEESE, DATES, ELDER]
    assert keys(RankRequest(user_id="ann"), [(DATES, 1, VIEW)])[0] == DATES
    assert keys(RankRequest(session=(view("elder"), view("dates"), view("elder", event_type=EventType.CART)))) == [
        ELDER, DATES, APPLE, BREAD, CHEESE
    ]  # fmt: skip


def test_the_answer_names_its_model_and_time_and_has_a_score_for_each_item() -> None:
    answer = ranking().rank(RankRequest(k=2), [], now=NOW)
    assert (answer.model_version, answer.as_of) == (MODEL, NOW)
    assert (answer.item_keys, answer.scores) == ([APPLE, BREAD], [5.0, 4.0])


def test_a_session_event_without_a_time_has_just_happened_in_the_order_given() -> None:
    model = Recording()
    ranking({MODEL: model}).rank(RankRequest(session=(view("apple"), view("bread"))), [], now=NOW)
    assert model.history == [(APPLE, NOW - 2, VIEW), (BREAD, NOW - 1, VIEW)]


def test_no_event_is_later_than_now() -> None:
    model = Recording()
    session = (view("apple", event_time=NOW + 5),)
    ranking({MODEL: model}).rank(RankRequest(session=session), [(BREAD, NOW + 7, CART)], now=NOW)
    assert model.history == [(BREAD, NOW - 1, CART), (APPLE, NOW - 1, VIEW)]


@pytest.mark.parametrize(
    ("event", "counted"),
    [
        (view("apple"), 0),
        (view("apple", event_type=EventType.CART), 1),
        (view("bread"), 1),
        (view("apple", event_time=NOW - 100), 0),
        (view("apple", event_time=NOW - 99), 1),
        (view("cheese"), 1),  # its stored view is long ago: this is another one
    ],
)
def test_an_event_that_is_stored_already_counts_once(event: SessionEvent, counted: int) -> None:
    model = Recording()
    stored = [(CHEESE, NOW - SAME_EVENT_MS - 1, VIEW), (APPLE, NOW - 100, VIEW)]
    ranking({MODEL: model}).rank(RankRequest(user_id="ann", session=(event,)), stored, now=NOW)
    assert len(model.history) == 2 + counted


def test_items_that_nobody_knows_are_ignored_and_counted() -> None:
    before = unknown_items()
    session = (view("nothing"), view("dates"))
    assert keys(RankRequest(session=session, candidates=("apple", "never", "dates"))) == [DATES, APPLE]
    assert unknown_items() == before + 2


def test_only_what_the_request_allows_is_ranked() -> None:
    assert keys(RankRequest(candidates=("dates", "bread"))) == [BREAD, DATES]
    assert keys(RankRequest(candidates=())) == []
    assert keys(RankRequest(without=("apple", "cheese"))) == [BREAD, DATES, ELDER]
    both = (Criteria(without_items=("bread",)), Criteria(categories=("food",)))
    assert keys(RankRequest(criteria=both, without=("apple",))) == [CHEESE, DATES, ELDER]
    assert keys(RankRequest(criteria=(Criteria(brands=("Other",)),))) == []


def test_a_filtered_ranking_is_full_whenever_enough_items_match() -> None:
    items = [Item(key, f"i{key}", categories=["rare"] if key >= 15 else ["food"]) for key in KEYS.tolist()]
    assert keys(RankRequest(k=1, criteria=(Criteria(categories=("rare",)),)), items=items) == [ELDER]


def test_to_discover_is_to_see_nothing_known() -> None:
    request, stored = RankRequest(user_id="ann", known=False), [(APPLE, 1, VIEW), (DATES, 1, VIEW)]
    assert keys(request, stored) == [BREAD, CHEESE, ELDER]
    assert keys(RankRequest(user_id="ann", known=True), stored) == [APPLE, DATES]


def test_what_cannot_be_bought_is_not_ranked() -> None:
    model = ToyRanker()
    model.available = np.array([False, True, False, True, True])
    assert keys(RankRequest(criteria=(Criteria(categories=("food",)),)), models={MODEL: model}) == [BREAD, DATES, ELDER]


def test_another_model_than_the_champion_is_asked_by_name() -> None:
    models = {MODEL: ToyRanker(), "m2": ToyRanker("m2")}
    assert ranking(models).rank(RankRequest(), [], now=NOW).model_version == MODEL
    assert ranking(models).rank(RankRequest(model_version="m2"), [], now=NOW).model_version == "m2"
    with pytest.raises(NotRanked, match="model m3 does not serve here") as refused:
        ranking(models).rank(RankRequest(model_version="m3"), [], now=NOW)
    assert refused.value.kind == "unknown_model"


def test_without_a_model_or_a_catalogue_nothing_is_ranked() -> None:
    with pytest.raises(NotRanked, match="no model is published yet"):
        ranking({}).rank(RankRequest(), [], now=NOW)
    with pytest.raises(NotRanked, match="the catalogue is being read"):
        OnlineRanking(lambda: {MODEL: ToyRanker()}, CatalogueColumns()).rank(RankRequest(), [], now=NOW)


def test_the_filters_follow_the_model_and_the_catalogue() -> None:
    """New items get places and rows while the same models serve."""
    columns, models = columns_of(ITEMS), {MODEL: ToyRanker()}
    made = OnlineRanking(lambda: models, columns)
    fresh = RankRequest(criteria=(Criteria(categories=("fresh",)),))
    assert made.rank(fresh, [], now=NOW).item_keys == []
    figs = Item(7, "figs", categories=["fresh"])
    columns.take([figs])
    assert made.rank(fresh, [], now=NOW).item_keys == []  # the model does not know it yet
    newer = models[MODEL].copy()
    newer.extend(type("New", (), {"items": [figs]}))
    models[MODEL] = newer
    assert made.rank(fresh, [], now=NOW).item_keys == [7]
    columns.take([Item(12, "bread", categories=["fresh"])])
    assert made.rank(fresh, [], now=NOW).item_keys == [12, 7]


def test_the_ranking_is_that_of_the_real_model(sqlite_engine: Engine, tmp_path: Any) -> None:
    model = load_ranker(open_shop(sqlite_engine, tmp_path))
    source = ShopSource(sqlite_engine)
    made = OnlineRanking(lambda: {model.model_version: model}, columns_of(source.items()))
    for user, history in source.histories_of(list(BASKETS)).items():
        answer = made.rank(RankRequest(user_id=user, k=3), history, now=T0 * 2)
        rows, scores = model.recommend(model.histories([history]), as_of=T0 * 2, k=3)
        assert answer.item_keys == model.item_keys[rows[0]].tolist()
        assert answer.scores == pytest.approx(scores[0].tolist(), rel=1e-5)


def test_the_evidence_is_of_the_first_items_and_adds_up_to_their_scores(sqlite_engine: Engine, tmp_path: Any) -> None:
    model = load_ranker(open_shop(sqlite_engine, tmp_path))
    source = ShopSource(sqlite_engine)
    made = OnlineRanking(lambda: {model.model_version: model}, columns_of(source.items()))
    history = source.histories_of(["dan"])["dan"]
    answer = made.rank(RankRequest(user_id="dan", k=4, evidence=2), history, now=T0 * 2)
    assert [one.item_key for one in answer.evidence] == answer.item_keys[:2]
    for one, score in zip(answer.evidence, answer.scores, strict=False):
        assert sum(one.terms.values()) == pytest.approx(score, rel=1e-4)
    dates = answer.item_keys[0]
    assert {(by.item_key, by.event_type) for by in answer.evidence[0].carriers} == {(dates, EventType.VIEW)}
    assert answer.evidence[0].carriers[0].share == pytest.approx(1.0)
    assert made.rank(RankRequest(user_id="dan"), history, now=T0 * 2).evidence == ()
