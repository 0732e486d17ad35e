"""The click-through rate: what counts, what the interval promises, and windows that may be measured again."""

from sqlalchemy import func, select

from graphstore.session import read, write
from graphstore.tables import metric_windows
from monitoring.ctr import CtrFigure, ctr, ctr_by_segment, write_ctr_windows
from monitoring.intervals import wilson_interval
from monitoring.windows import ALL, TimeWindow, read_figures

HOUR_MS = 3_600_000


def rate(shop, segment=None, start=None, end=None):
    with read(shop.engine) as connection:
        return ctr_by_segment(connection, start=start or shop.now, end=end or shop.now + 1)[segment or ALL]


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
        found = ctr_by_segment(connection, start=shop.now - 7, end=shop.now + 7)
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


def windows(shop, now, open_windows=2):
    with write(shop.engine) as connection:
        return write_ctr_windows(connection, now=now, window_seconds=3600, open_windows=open_windows)


def stored(shop, segment=ALL):
    with read(shop.engine) as connection:
        figures = read_figures(connection, "ctr", segment=segment, limit=10)
        rows = connection.scalar(select(func.count()).select_from(metric_windows))
    return {f.window.start: (f.value, f.detail["impressions"]) for f in figures}, rows


def test_windows_are_measured_again_while_they_are_open_and_then_stand(shop):
    hour = shop.now // HOUR_MS * HOUR_MS
    shop.serve("r1", ["apple", "pear"], time=hour)
    windows(shop, hour + 1)
    assert stored(shop)[0] == {hour - HOUR_MS: (None, 0), hour: (0.0, 2)}
    shop.act("click", "apple", "r1", time=hour + 2)
    shop.attribute()
    windows(shop, hour + HOUR_MS)
    assert stored(shop)[0] == {hour - HOUR_MS: (None, 0), hour: (0.5, 2), hour + HOUR_MS: (None, 0)}
    shop.act("click", "pear", "r1", time=hour + 3)
    shop.attribute()
    windows(shop, hour + 2 * HOUR_MS)
    assert stored(shop)[0][hour] == (0.5, 2)


def test_measuring_twice_leaves_the_same_rows(shop):
    shop.serve("r1", ["apple", "pear"])
    first = windows(shop, shop.now)
    before = stored(shop)
    assert windows(shop, shop.now) == first
    assert stored(shop) == before
    assert {figure.segment for figure in first if figure.value is not None} == {
        ALL, "model:m1", "slot:home", "variant:a", "position:0", "position:1", "source:model",
        "kind:unknown",
    }  # fmt: skip


def test_a_window_is_the_sum_of_its_lists(shop):
    hour = shop.now // HOUR_MS * HOUR_MS
    shop.click_through(50, 7, time=hour)
    shop.click_through(30, 1, time=hour + HOUR_MS - 1)
    shop.click_through(99, 99, time=hour + HOUR_MS)
    figure = {f.window: f for f in windows(shop, hour) if f.segment == ALL}[TimeWindow(hour, hour + HOUR_MS)]
    assert (figure.detail["impressions"], figure.detail["clicks"], figure.value) == (80, 8, 0.1)
    low, high = wilson_interval(8, 80)
    assert (figure.low, figure.high) == (low, high)
