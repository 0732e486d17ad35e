"""The click-through rate: what counts, and what the interval promises."""

from graphstore.session import read
from monitoring.counts import count
from monitoring.ctr import CtrFigure, ctr
from monitoring.windows import ALL, TimeWindow

HOUR_MS = 3_600_000


def by_segment(connection, start, end):
    counted = count(connection, TimeWindow(start, end))
    return {segment: CtrFigure.counted(counts) for segment, counts in counted.items()}


def rate(shop, segment=None, start=None, end=None):
    with read(shop.engine) as connection:
        return by_segment(connection, start or shop.now, end or shop.now + 1)[segment or ALL]


def test_an_impression_clicked_often_counts_once(shop):
    shop.serve("r1", ["apple", "pear", "plum", "fig"])
    for kind in ("click", "click", "cart", "purchase"):
        shop.act(kind, "pear", "r1")
    shop.act("purchase", "plum", "r1")
    shop.attribute()
    found = rate(shop)
    assert (found.impressions, found.clicks, found.value) == (4, 2, 0.5)


def test_views_and_ratings_are_no_clicks(shop):
    shop.serve("r1", ["apple", "pear"])
    shop.act("view", "apple", "r1")
    shop.act("rating", "pear", "r1")
    assert shop.attribute() == 0
    assert (rate(shop).clicks, rate(shop).value) == (0, 0.0)


def test_without_impressions_there_is_no_rate(shop):
    assert rate(shop) == CtrFigure(0, 0, None, None, None)


def test_a_click_belongs_to_the_window_in_which_its_list_was_served(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    shop.act("click", "apple", "r1", time=shop.now + HOUR_MS)
    shop.attribute()
    assert rate(shop, start=shop.now, end=shop.now + HOUR_MS).value == 1.0
    assert rate(shop, start=shop.now + HOUR_MS, end=shop.now + 2 * HOUR_MS).value is None


def test_each_segment_has_its_own_rate(shop):
    shop.serve("r1", ["apple", "pear"], model="m1", slot="home", variant="a")
    shop.serve("r2", ["apple", "pear"], model="m2", slot="cart", variant="b")
    shop.act("click", "pear", "r2")
    shop.attribute()
    with read(shop.engine) as connection:
        found = by_segment(connection, shop.now - 7, shop.now + 7)
    counts = {segment: (figure.impressions, figure.clicks) for segment, figure in found.items()}
    assert counts == {
        ALL: (4, 1),
        "model:m1": (2, 0),
        "model:m2": (2, 1),
        "slot:home": (2, 0),
        "slot:cart": (2, 1),
        "variant:a": (2, 0),
        "variant:b": (2, 1),
        "position:0": (2, 0),
        "position:1": (2, 1),
        "source:model": (4, 1),
        "kind:unknown": (4, 1),
    }
    assert rate(shop, "model:m2") == found["model:m2"]
    with read(shop.engine) as connection:
        assert ctr(connection, start=shop.now, end=shop.now + 1) == found[ALL]
