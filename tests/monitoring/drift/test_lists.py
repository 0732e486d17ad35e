"""Lists: which ones count, when they are clicked, and what their rate was before."""

import json

import pytest
from sqlalchemy import insert, update

from graphstore.session import read, write
from graphstore.tables import impressions, metric_windows, seen_items
from monitoring.drift.lists import list_columns, read_lists, read_ranked, stored_rate
from monitoring.drift.references import Reference
from monitoring.windows import TimeWindow

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest.fixture
def lists(shop):
    """Read the lists of two days as of `shop.now`."""
    current = TimeWindow(shop.now - DAY_MS, shop.now)
    reference = Reference("trailing", (TimeWindow(current.start - DAY_MS, current.start),), 1)

    def found(**options):
        with read(shop.engine) as connection:
            return read_lists(connection, reference, current, **options)

    return found


def test_a_list_is_one_row_with_its_first_score_and_its_click(shop, lists):
    shop.serve("old", ["apple", "nut"], time=shop.now - 30 * HOUR_MS, user="ann")
    shop.serve("new", ["apple", "nut"], time=shop.now - 2 * HOUR_MS, user="ann")
    shop.serve("quiet", ["apple"], time=shop.now - HOUR_MS, user="ben")
    shop.act("click", "nut", "new", time=shop.now - HOUR_MS, position=1, user="ann")
    shop.attribute()
    found = lists()
    assert (found.request_ids, found.first_current) == (["old", "new", "quiet"], 1)
    assert found.clicked.tolist() == [0, 1, 0]
    assert found.shoppers[0] == found.shoppers[1] != found.shoppers[2]
    assert [one.name for one in list_columns(found)] == ["list_clicked"]


def test_a_click_on_another_day_than_the_lists_does_not_count(shop, lists):
    """The lists of the current window have not had a second day yet."""
    shop.serve("old", ["apple"], time=shop.now - 30 * HOUR_MS, user="ann")
    shop.act("click", "apple", "old", time=shop.now - 12 * HOUR_MS, user="ann")
    shop.attribute()
    assert lists().clicked.tolist() == [0]


def test_robots_and_lists_that_nobody_saw_are_left_out(sqlite_shop):
    shop = sqlite_shop
    for name in ("robot", "fetched", "seen"):
        shop.serve(name, ["apple"], time=shop.now - HOUR_MS)
    with write(shop.engine) as connection:
        named = impressions.c.request_id
        connection.execute(update(impressions).where(named == "robot").values(robot=True))
        connection.execute(update(impressions).where(named != "robot").values(confirmed=False))
        connection.execute(insert(seen_items).values(request_id="seen", position=0, user_id="u1", event_time=shop.now))
    reference = Reference("trailing", (TimeWindow(shop.now - 2 * DAY_MS, shop.now - DAY_MS),), 1)
    with read(shop.engine) as connection:
        found = read_lists(connection, reference, TimeWindow(shop.now - DAY_MS, shop.now))
    assert found.request_ids == ["seen"]


def test_the_items_of_some_lists_with_their_clicks(shop, lists):
    for number in range(20):
        shop.serve(f"r{number}", ["apple", "nut"], time=shop.now - 2 * HOUR_MS + number)
    shop.act("click", "nut", "r3", time=shop.now - HOUR_MS, position=1)
    shop.attribute()
    found = lists()
    with read(shop.engine) as connection:
        every = read_ranked(connection, found, found.current)
        some = read_ranked(connection, found, found.current, limit=5)
    assert len(every) == 40
    assert [(one.request_id, one.item_id) for one in every if one.clicked] == [("r3", "nut")]
    assert 0 < len({one.request_id for one in some}) <= 5


def test_a_sample_of_lists_keeps_their_order(shop, lists):
    for number in range(200):
        shop.serve(f"r{number}", ["apple"], time=shop.now - 2 * HOUR_MS + number)
    found = lists(sample_lists=100)
    assert 60 < len(found) < 140
    assert found.share == 0.5
    assert (found.times[1:] > found.times[:-1]).all()


def test_the_rate_before_is_that_of_whole_hours(sqlite_shop):
    day = TimeWindow(0, DAY_MS)
    detail = json.dumps({"impressions": 50, "clicks": 10})
    hours = [(0, HOUR_MS), (HOUR_MS, 2 * HOUR_MS), (DAY_MS, DAY_MS + HOUR_MS), (0, DAY_MS)]
    with write(sqlite_shop.engine) as connection:
        for start, end in hours:
            connection.execute(
                insert(metric_windows).values(
                    metric="ctr", segment="all", window_start=start, window_end=end, detail=detail
                )
            )
    with read(sqlite_shop.engine) as connection:
        assert stored_rate(connection, [day]) == 20 / 100
        assert stored_rate(connection, [TimeWindow(5 * DAY_MS, 6 * DAY_MS)]) is None
