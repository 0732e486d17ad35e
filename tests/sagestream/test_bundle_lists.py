"""Lists without services: a toy shop's shoppers get their favourites, with titles, from the bundle and SQL alone."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, update

from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine, write
from graphstore.tables import items, users
from sagestream.bundle_lists import UnknownShopper, recommended, resembling
from serving.recommend import UnknownItem
from tests.databases import migrated_sqlite
from tests.training import toy_shop
from training.config import TrainingConfig
from training.lifecycle.registry import NoChampion, UnknownModel
from training.lifecycle.run import RunSpec, run_training
from training.lifecycle.run_result import RunResult
from training.options import TrainingOptions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> GraphstoreConfig:
    return GraphstoreConfig(state_dir=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def engine(graph: GraphstoreConfig):
    migrated_sqlite(graph.state_dir / "graph.db")
    made = open_engine(graph.sqlalchemy_url)
    yield made
    made.dispose()


@pytest.fixture(scope="module")
def result(graph: GraphstoreConfig, engine: Engine) -> RunResult:
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=10)
        connection.execute(insert(users).values(user_key=900, user_id="cold"))
        now = toy_shop.closing_time(connection)
    return run_training(
        engine,
        RunSpec("closed_form", "test"),
        graph=graph,
        config=TrainingConfig(),
        now=lambda: now,
        options=TrainingOptions(seed=0),
    )


def test_a_shopper_gets_their_favourites(graph: GraphstoreConfig, result: RunResult) -> None:
    for name in ("champion", result.model_version):
        found = recommended(graph, name, "u3", k=4)
        assert found.model_version == result.model_version
        assert {item.item_id for item in found.items} == {f"i{place}" for place in toy_shop.favourites(3)}
        assert [item.position for item in found.items] == [0, 1, 2, 3]
        assert {item.title for item in found.items} == {"thing odd"}
        scores = [item.score for item in found.items]
        assert scores == sorted(scores, reverse=True)


def test_a_shopper_without_events_gets_what_is_popular(graph: GraphstoreConfig, result: RunResult) -> None:
    assert len(recommended(graph, "champion", "cold", k=5).items) == 5


def test_items_of_the_same_half_go_together(graph: GraphstoreConfig, result: RunResult) -> None:
    found = resembling(graph, "champion", "i4", k=3)
    assert found.items
    assert {item.title for item in found.items} == {"thing even"}
    assert "i4" not in {item.item_id for item in found.items}


def test_what_left_the_shop_is_not_listed(graph: GraphstoreConfig, engine: Engine, result: RunResult) -> None:
    gone = toy_shop.favourites(3)[0]
    with write(engine) as connection:
        connection.execute(update(items).where(items.c.item_id == f"i{gone}").values(available=False))
    found = recommended(graph, "champion", "u3", k=4)
    with write(engine) as connection:
        connection.execute(update(items).where(items.c.item_id == f"i{gone}").values(available=True))
    assert f"i{gone}" not in {item.item_id for item in found.items}
    assert [item.position for item in found.items] == list(range(len(found.items)))


def test_a_sold_out_item_makes_room_among_similar_ones(
    graph: GraphstoreConfig, engine: Engine, result: RunResult
) -> None:
    before = [item.item_id for item in resembling(graph, "champion", "i4", k=3).items]
    with write(engine) as connection:
        connection.execute(update(items).where(items.c.item_id == before[0]).values(stock=0))
    after = [item.item_id for item in resembling(graph, "champion", "i4", k=3).items]
    with write(engine) as connection:
        connection.execute(update(items).where(items.c.item_id == before[0]).values(stock=None))
    assert (after[:2], len(after)) == (before[1:], 3)


def test_what_nobody_knows_is_named(graph: GraphstoreConfig, result: RunResult, tmp_path: Path) -> None:
    with pytest.raises(UnknownShopper, match="no shopper 'nobody'"):
        recommended(graph, "champion", "nobody", k=4)
    with pytest.raises(UnknownItem, match="knows no item 'nothing'"):
        resembling(graph, "champion", "nothing", k=4)
    with pytest.raises(UnknownModel, match="no model m99"):
        recommended(graph, "m99", "u3", k=4)
    empty = GraphstoreConfig(state_dir=tmp_path)
    migrated_sqlite(empty.state_dir / "graph.db")
    with pytest.raises(NoChampion, match="no champion"):
        resembling(empty, "champion", "i4", k=4)
