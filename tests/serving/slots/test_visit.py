import pytest

from graphstore.redis import hot
from serving.slots.visit import Visit
from tests.serving.slots.small_shop import MODEL, NOW, NOW_MS, Shop


@pytest.fixture
def visit(shop: Shop) -> Visit:
    shop.redis.zadd(hot.bought_key("ann"), {"i1": NOW_MS - 5})
    hot.record(shop.redis, [("ann", "i2", 1)], keep=10)
    return Visit(shop.store, "ann", NOW)


def test_list_purchases_and_showings_are_read_together_and_once(
    shop: Shop, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit.read_together(MODEL, bought=True, shown_before=True)
    monkeypatch.setattr(shop.store.redis, "execute_command", None)  # whoever asks Redis again fails
    monkeypatch.setattr(shop.store.redis, "pipeline", None)
    visit.read_together(MODEL, bought=True, shown_before=True)
    found = visit.stored(MODEL)
    assert found is not None
    assert (found[0], found[1].item_keys.tolist()[:3]) == ("batch", [1, 2, 3])
    assert (visit.bought, visit.shown) == ({"i1": NOW_MS - 5}, {})


def test_each_part_alone_is_the_same(shop: Shop, visit: Visit) -> None:
    together = Visit(shop.store, "ann", NOW)
    together.read_together(MODEL, bought=True, shown_before=True)
    assert (visit.bought, visit.shown) == (together.bought, together.shown)
    mine, other = visit.stored(MODEL), together.stored(MODEL)
    assert mine is not None
    assert other is not None
    assert (mine[0], mine[1].item_keys.tolist()) == (other[0], other[1].item_keys.tolist())
    assert (visit.recent, visit.seen) == ([("i2", 1)], {"i2"})


def test_of_a_session_that_nobody_stores_nothing_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.store.redis, "execute_command", None)
    monkeypatch.setattr(shop.store.redis, "pipeline", None)
    visit = Visit(shop.store, None, NOW)
    visit.read_together(MODEL, bought=True, shown_before=True)
    assert (visit.stored(MODEL), visit.bought, visit.shown, visit.recent, visit.seen) == (None, {}, {}, [], set())
