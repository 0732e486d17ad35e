"""Models that follow pointer, stock, new items and counts, in a shop whose right lists are known."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import Engine, update

from graphstore.catalogue import Item
from graphstore.redis.changes import COUNTER, announce
from graphstore.session import write
from graphstore.tables import items
from serving import cache
from serving.catalogue_feed import LOOK_SECONDS
from serving.followed_models import FollowedModels
from serving.ranker import LiveRanker, UnusableModel
from serving.source import ShopSource
from tests.serving.toy import NAMES, ToyRanker, register, touch, toy_load

TREND_SECONDS = 60.0


class Shop:
    """SQL and Redis with a served toy model. `now` moves by hand, in seconds."""

    def __init__(self, engine: Engine, redis: Redis) -> None:
        self.engine, self.redis, self.now = engine, redis, 0.0
        redis.set(COUNTER, 5)  # something was announced long ago
        for name in NAMES:
            touch(engine, "first", name, 1)
        self.ready: list[str] = []
        self.models = FollowedModels(
            ShopSource(engine),
            redis,
            trend_seconds=TREND_SECONDS,
            load=toy_load(self.keys),
            ready=lambda version, _model: self.ready.append(version),
            clock=lambda: self.now,
        )
        register(engine, "m1")
        redis.set(cache.CHAMPION, "m1")

    @property
    def keys(self) -> dict[str, int]:
        return {item.item_id: item.item_key for item in ShopSource(self.engine).items()}

    def freshen(self, seconds: float = LOOK_SECONDS) -> list[str]:
        self.now += seconds
        return self.models.freshen()

    def change(self, *names: str, **values: object) -> None:
        with write(self.engine) as connection:
            connection.execute(update(items).where(items.c.item_id.in_(names)).values(values))
        pipeline = self.redis.pipeline()
        announce(pipeline, [self.keys[name] for name in names])
        pipeline.execute()

    def listed(self, *history: str, k: int = 9) -> list[str]:
        champion = self.models.champion
        assert champion is not None
        rows, _ = champion.rank_one([(self.keys[name], 1, 0) for name in history], as_of=10, k=k)
        return [champion.item_ids[row] for row in rows]


@pytest.fixture
def shop(sqlite_engine: Engine, redis: Redis) -> Shop:
    return Shop(sqlite_engine, redis)


def test_a_model_serves_after_it_is_ready_and_is_loaded_once(shop: Shop) -> None:
    assert shop.models.champion is None
    assert shop.models.follow() == ["m1"]
    assert shop.models.follow() == []
    assert shop.ready == ["m1"]
    assert shop.models.champion is shop.models.models["m1"]


def test_a_model_that_cannot_be_made_ready_does_not_serve(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ToyRanker, "set_available", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.models.follow()
    assert not shop.models.models
    assert shop.models.follow() == ["m1"]


def test_without_a_pointer_there_is_nothing_to_follow(shop: Shop) -> None:
    shop.redis.delete(cache.CHAMPION)
    assert shop.models.follow() == []
    assert shop.freshen() == []
    shop.redis.set(cache.CHAMPION, "m9")
    with pytest.raises(UnusableModel, match="m9"):
        shop.models.follow()


def test_a_model_knows_from_its_first_moment_what_can_be_bought(shop: Shop) -> None:
    shop.change("apple", "bread", available=False)
    shop.models.follow()
    assert shop.listed() == ["cheese", "dates", "elder"]


def test_a_sell_out_counts_at_the_next_look_in_a_new_copy(shop: Shop) -> None:
    shop.models.follow()
    shop.freshen()
    before = shop.models.champion
    assert shop.freshen() == []
    assert shop.models.champion is before
    shop.change("apple", stock=0)
    assert shop.freshen(LOOK_SECONDS / 2) == []  # no look is due
    assert shop.freshen() == ["m1"]
    assert shop.listed("apple") == ["bread", "cheese", "dates", "elder"]
    assert before is not None
    assert before.available.all()  # a request that still holds it is answered consistently
    shop.change("apple", stock=3)
    assert shop.freshen() == ["m1"]
    assert shop.listed("apple")[0] == "apple"


def test_a_change_that_is_none_of_the_models_business_makes_no_copy(shop: Shop) -> None:
    shop.models.follow()
    shop.freshen()
    shop.change("apple", price=2.5)
    told: list[Sequence[Item]] = []
    shop.models.on_changed = told.append
    assert shop.freshen() == []
    assert [item.price for item in told[0]] == [2.5]


def test_a_new_item_can_be_recommended_at_the_next_look(shop: Shop) -> None:
    shop.models.follow()
    shop.freshen()
    touch(shop.engine, "ann", "figs", 2)
    assert shop.freshen() == ["m1"]
    assert shop.listed("figs")[0] == "figs"
    assert shop.freshen() == []


def test_items_that_came_between_the_training_and_the_load_have_rows(shop: Shop) -> None:
    touch(shop.engine, "ann", "figs", 2)
    shop.models.follow()
    assert shop.listed("figs")[0] == "figs"


def test_a_new_item_whose_extension_failed_is_tried_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.models.follow()
    shop.freshen()
    touch(shop.engine, "ann", "figs", 2)
    with monkeypatch.context() as patch:
        patch.setattr(ToyRanker, "extend", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            shop.freshen()
    assert "figs" not in shop.listed()
    assert shop.freshen() == ["m1"]
    assert "figs" in shop.listed()


def test_the_trend_is_read_when_it_is_due(shop: Shop) -> None:
    shop.models.follow()
    shop.freshen()
    for n in range(9):
        touch(shop.engine, f"u{n}", "cheese", 1_700_000_000_000)
    assert shop.freshen() == []
    assert shop.listed()[0] == "apple"
    assert shop.freshen(TREND_SECONDS) == ["m1"]
    assert shop.listed()[0] == "cheese"


def test_the_neighbourhood_of_a_new_item_are_the_histories_of_those_who_touched_it(shop: Shop) -> None:
    told = []

    class Listening(ToyRanker):
        def extend(self, new):  # type: ignore[no-untyped-def]
            told.append(new)
            super().extend(new)

    keys = np.array([shop.keys[name] for name in NAMES])

    def load(bundle: Path) -> LiveRanker:
        return Listening(bundle.name, keys)  # type: ignore[return-value]

    shop.models = FollowedModels(
        ShopSource(shop.engine), shop.redis, trend_seconds=TREND_SECONDS, load=load, clock=lambda: shop.now
    )
    now = 1_700_000_000_000
    for time, name in enumerate(["apple", "dates", "figs"]):
        touch(shop.engine, "ann", name, now + time)
    touch(shop.engine, "bob", "bread", now)  # has not touched it
    shop.models.follow()
    (new,) = told
    assert [item.item_id for item in new.items] == ["figs"]
    assert [[shop.keys["apple"], shop.keys["dates"], shop.keys["figs"]]] == [
        [key for key, *_ in history] for history in new.histories
    ]
    assert {item.item_id for item in new.neighbours} == {"apple", "dates"}
    touch(shop.engine, "bob", "figs", now + 9)
    shop.freshen(TREND_SECONDS)
    assert len(told[-1].histories) == 2
