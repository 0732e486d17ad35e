"""Events find the list that led to them: whose, when, which, once; and in the hours that they belong to."""

import gc

import pytest
from sqlalchemy import event, insert, select

from graphstore.erase import erase_person
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.retention import expire
from graphstore.session import read, write
from graphstore.tables import attributions, interactions
from graphstore.upserts import SeenRow, insert_seen
from monitoring.attribution import attribute, attribute_now, count_dirty_shoppers
from monitoring.credit_windows import CreditWindows
from monitoring.crediting import CLOCK_SKEW_MS
from monitoring.dirty_windows import DAY_PAUSE_MS, Recounting, count_dirty_windows, recount_dirty
from monitoring.windows import TimeWindow, read_figures

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000


def login(shop, session, user, time=1):
    with write(shop.engine) as connection:
        ingest_identities(connection, [IdentityRow(session, user, time)])


def see(shop, request_id, *positions, user="u1", time=None):
    with write(shop.engine) as connection:
        insert_seen(connection, [SeenRow(request_id, place, user, time or shop.now) for place in positions])


def rows(shop):
    with read(shop.engine) as connection:
        return {row.event_id: row for row in connection.execute(select(attributions))}


def money(shop):
    return {name: (row.request_id, row.revenue) for name, row in rows(shop).items()}


def clicks_by_hour(shop):
    with read(shop.engine) as connection:
        figures = read_figures(connection, "ctr", limit=99)
    return {f.window.start: f.detail["clicks"] for f in figures if f.window.end - f.window.start == HOUR_MS}


def test_an_event_is_credited_to_its_place_in_the_list(shop):
    shop.serve("r1", ["apple", "pear", "plum"])
    click = shop.act("click", "pear", "r1")
    buy = shop.act("purchase", "plum", "r1", position=2)
    assert shop.attribute() == 2
    assert shop.places() == {click: ("r1", 1), buy: ("r1", 2)}
    assert shop.attribute() == 0


def test_another_shoppers_click_does_not_count(shop):
    shop.serve("r1", ["apple"], user="u1")
    shop.act("click", "apple", "r1", user="u2")
    shop.attribute()
    assert shop.places() == {}


def test_a_click_before_the_list_does_not_count(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    shop.act("click", "apple", time=shop.now - 1)
    shop.act("click", "apple", "r1", time=shop.now - CLOCK_SKEW_MS - 1)
    same_time = shop.act("click", "apple", time=shop.now)
    shop.attribute()
    assert shop.places() == {same_time: ("r1", 0)}


def test_a_click_that_names_its_list_counts_though_the_clock_of_the_shop_is_behind(shop):
    named = shop.act("click", "apple", "r1", time=shop.now - CLOCK_SKEW_MS)
    shop.attribute()
    assert shop.places() == {}
    shop.serve("r1", ["apple"], time=shop.now)  # arrives later than the click
    shop.attribute()
    assert shop.places() == {named: ("r1", 0)}


@pytest.mark.parametrize(("kind", "days"), [("click", 1), ("cart", 1), ("purchase", 7)])
def test_the_window_of_each_type_ends(sqlite_shop, kind, days):
    shop = sqlite_shop
    shop.serve("r1", ["apple"])
    in_time = shop.act(kind, "apple", "r1", time=shop.now + days * DAY_MS)
    shop.act(kind, "apple", "r1", time=shop.now + days * DAY_MS + 1)
    shop.act(kind, "apple", time=shop.now + days * DAY_MS + 1)
    shop.act(kind, "apple", "r1", time=shop.now + 200 * DAY_MS)
    shop.attribute()
    assert shop.places() == {in_time: ("r1", 0)}


def test_other_windows_attribute_everybody_again(sqlite_shop):
    shop = sqlite_shop
    shop.serve("r1", ["apple"])
    late = shop.act("click", "apple", "r1", time=shop.now + 2 * DAY_MS)
    assert shop.attribute() == 0
    assert attribute(shop.engine, windows=CreditWindows(click_seconds=3 * 86_400.0)).changed == 1
    assert shop.places() == {late: ("r1", 0)}
    with write(shop.engine) as connection:
        assert attribute_now(connection) == 0  # the windows of the last pass hold
    assert shop.attribute() == 1
    assert shop.places() == {}


def test_views_and_ratings_are_not_credited(shop):
    shop.serve("r1", ["apple"])
    shop.act("view", "apple", "r1")
    shop.act("rating", "apple", "r1")
    assert shop.attribute() == 0


def test_what_names_another_list_or_none_goes_to_the_last_list_that_shows_the_item(shop):
    shop.serve("r1", ["apple", "pear"], time=shop.now)
    shop.serve("r2", ["plum"], time=shop.now + 1)
    unnamed = shop.act("click", "apple", time=shop.now + 2)
    wrong = shop.act("click", "apple", "r2", time=shop.now + 2)
    unknown = shop.act("click", "pear", "no such list", time=shop.now + 2)
    shop.act("click", "quince", "r1", time=shop.now + 2)
    shop.attribute()
    assert shop.places() == {unnamed: ("r1", 0), wrong: ("r1", 0), unknown: ("r1", 1)}
    assert {row.matched_by for row in rows(shop).values()} == {"item"}


def test_the_last_touch_counts(shop):
    for number in range(3):
        shop.serve(f"r{number}", ["apple"], time=shop.now + number * MINUTE_MS)
    between = shop.act("purchase", "apple", time=shop.now + MINUTE_MS + 1)
    after = shop.act("purchase", "apple", time=shop.now + 9 * MINUTE_MS)
    named = shop.act("purchase", "apple", "r0", time=shop.now + 9 * MINUTE_MS)
    shop.attribute()
    assert shop.places() == {between: ("r1", 0), after: ("r2", 0), named: ("r0", 0)}
    assert [rows(shop)[name].matched_by for name in (between, after, named)] == ["item", "item", "request"]


def test_of_two_lists_at_the_same_time_the_smaller_request_id_counts(shop):
    shop.serve("r2", ["apple"])
    shop.serve("r1", ["pear", "apple"])
    click = shop.act("click", "apple")
    shop.attribute()
    assert shop.places() == {click: ("r1", 1)}


def test_one_conversion_is_credited_once(shop):
    for number in range(3):
        shop.serve(f"r{number}", ["apple", "apple"], time=shop.now + number)
    bought = shop.act("purchase", "apple", time=shop.now + 9, value=3.0, quantity=2, order_id="o1", currency="EUR")
    assert shop.attribute() == 1
    (row,) = rows(shop).values()
    assert (row.event_id, row.request_id, row.position) == (bought, "r2", 0)
    assert (row.revenue, row.order_id, row.currency, row.list_time) == (6.0, "o1", "EUR", shop.now + 2)


def test_a_list_that_was_merely_fetched_gets_only_what_names_it(shop):
    shop.fetch("r1", ["apple", "pear"])
    named = shop.act("click", "apple", "r1")
    unnamed = shop.act("click", "pear")
    shop.attribute()
    assert shop.places() == {named: ("r1", 0)}
    see(shop, "r1", 1)
    shop.attribute()
    assert shop.places() == {named: ("r1", 0), unnamed: ("r1", 1)}


def test_what_a_session_has_seen_counts_though_the_mark_of_its_person_is_read_first(shop, monkeypatch):
    monkeypatch.setattr("monitoring.attribution.MARKS_A_STEP", 1)
    login(shop, "session", "a person")
    shop.fetch("r1", ["apple"])
    click = shop.act("click", "apple", time=shop.now + 1)
    shop.attribute()
    shop.act("view", "pear", user="a person", time=shop.now + 1)
    shop.act("click", "pear", user="a person", time=shop.now + 1)
    see(shop, "r1", 0, user="session", time=shop.now + 2)
    shop.attribute()
    assert shop.places() == {click: ("r1", 0)}


def test_what_somebody_else_has_seen_of_a_list_counts_too(shop):
    shop.fetch("r1", ["apple"])
    click = shop.act("click", "apple", time=shop.now + 1)
    shop.attribute()
    see(shop, "r1", 0, user="u2", time=shop.now + 2)
    shop.attribute()
    assert shop.places() == {click: ("r1", 0)}
    erase_person(shop.engine, "u2", now=shop.now)
    shop.attribute()
    assert shop.places() == {}


def test_a_session_that_logged_in_belongs_to_its_person(shop):
    shop.serve("r1", ["apple"], user="session")
    shop.serve("r2", ["pear"], user="ann")
    bought = shop.act("purchase", "apple", "r1", user="ann")
    clicked = shop.act("click", "pear", user="session")
    shop.attribute()
    assert shop.places() == {}
    login(shop, "session", "ann", time=9)
    shop.attribute()
    assert shop.places() == {bought: ("r1", 0), clicked: ("r2", 0)}
    login(shop, "session", "bob", time=1)  # an earlier login says that it was somebody else's
    shop.attribute()
    assert shop.places() == {}


def test_a_late_list_takes_the_last_touch_away(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    click = shop.act("click", "apple", time=shop.now + 9)
    shop.attribute()
    assert shop.places() == {click: ("r1", 0)}
    shop.serve("r2", ["apple"], time=shop.now + 5)
    assert shop.attribute() == 1
    assert shop.places() == {click: ("r2", 0)}


def test_a_click_that_arrives_before_its_list_waits_for_it(shop):
    click = shop.act("click", "pear", "r1", time=shop.now + 1)
    assert shop.attribute() == 0
    shop.serve("r1", ["apple", "pear"])
    assert shop.attribute() == 1
    assert shop.places() == {click: ("r1", 1)}


def test_an_item_at_two_places_takes_the_place_that_the_shop_names_else_the_first(shop):
    shop.serve("r1", ["apple", "pear", "apple"])
    named = shop.act("click", "apple", "r1", position=2)
    unnamed = shop.act("click", "apple", "r1")
    wrong = shop.act("click", "apple", "r1", position=1)
    assert shop.attribute() == 3
    assert shop.places() == {named: ("r1", 2), unnamed: ("r1", 0), wrong: ("r1", 0)}


def test_a_refund_takes_back_what_was_bought_and_never_more(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    shop.serve("r2", ["apple"], time=shop.now + 5)
    first = shop.act("purchase", "apple", time=shop.now + 1, value=10.0, quantity=3, order_id="o1", currency="EUR")
    second = shop.act("purchase", "apple", time=shop.now + 6, value=8.0, order_id="o2", currency="EUR")
    newest = shop.act("return", "apple", time=shop.now + 20 * DAY_MS)
    cheaper = shop.act("return", "apple", time=shop.now + 21 * DAY_MS, quantity=2, value=7.0, currency="EUR")
    rest = shop.act("cancel", "apple", time=shop.now + 22 * DAY_MS, quantity=5, value=99.0)
    shop.act("return", "apple", time=shop.now + 23 * DAY_MS)
    shop.act("return", "pear", time=shop.now + 23 * DAY_MS)
    shop.attribute()
    bought = {first: ("r1", 30.0), second: ("r2", 8.0)}
    assert money(shop) == bought | {newest: ("r2", -8.0), cheaper: ("r1", -14.0), rest: ("r1", -10.0)}
    assert rows(shop)[newest].order_id == "o2"


def test_a_weight_is_paid_by_its_weight_and_given_back_by_parts(shop):
    shop.serve("r1", ["apple"])
    bought = shop.act("purchase", "apple", time=shop.now + 1, value=10.0, quantity=0.3)
    some = shop.act("return", "apple", time=shop.now + 2, quantity=0.1)
    rest = shop.act("return", "apple", time=shop.now + 3, quantity=0.2)
    shop.act("return", "apple", time=shop.now + 4, quantity=0.2)  # 0.3 - 0.1 - 0.2 is not 0 in floats
    shop.attribute()
    found = {name: round(revenue, 9) for name, (_, revenue) in money(shop).items()}
    assert found == {bought: 3.0, some: -1.0, rest: -2.0}


def test_a_refund_of_a_named_order_takes_back_this_order(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    shop.serve("r2", ["apple"], time=shop.now + 5)
    shop.act("purchase", "apple", time=shop.now + 1, value=10.0, order_id="o1")
    shop.act("purchase", "apple", time=shop.now + 6, value=8.0, order_id="o2")
    named = shop.act("return", "apple", time=shop.now + 9, order_id="o1")
    shop.act("return", "apple", time=shop.now + 9, order_id="o3")
    shop.attribute()
    assert {name: of for name, of in money(shop).items() if of[1] < 0} == {named: ("r1", -10.0)}


def test_a_late_purchase_moves_a_refund(shop):
    shop.serve("r1", ["apple"])
    shop.act("purchase", "apple", time=shop.now + 1, value=10.0)
    refund = shop.act("return", "apple", time=shop.now + 9)
    shop.attribute()
    assert money(shop)[refund] == ("r1", -10.0)
    shop.act("purchase", "apple", time=shop.now + 5, value=7.0)
    shop.attribute()
    assert money(shop)[refund] == ("r1", -7.0)


@pytest.mark.parametrize("few_rows", [5_000, 0])
def test_what_was_taken_back_stays_so_when_another_item_is_taken_back(shop, monkeypatch, few_rows):
    monkeypatch.setattr("monitoring.credit_rows.FEW_ROWS", few_rows)
    shop.serve("r1", ["pear"])
    bought = shop.act("purchase", "pear", time=shop.now + HOUR_MS, value=3.0, quantity=2)
    shop.act("return", "apple", time=shop.now + 2 * HOUR_MS)  # of a purchase that nobody told us
    refund = shop.act("return", "pear", time=shop.now + 3 * HOUR_MS, quantity=1)
    shop.attribute()
    told = {bought: ("r1", 6.0), refund: ("r1", -3.0)}
    assert money(shop) == told
    shop.act("return", "apple", time=shop.now + 5 * HOUR_MS)  # older rows are read from the first apple on
    shop.attribute()
    assert money(shop) == told


def test_a_purchase_without_a_price_has_no_revenue(sqlite_shop):
    sqlite_shop.serve("r1", ["apple"])
    for kind in ("purchase", "return", "click"):
        sqlite_shop.act(kind, "apple")
    sqlite_shop.attribute()
    assert [row.revenue for row in rows(sqlite_shop).values()] == [None, None, None]


def test_what_retention_has_deleted_stays_credited(shop):
    shop.serve("r1", ["apple"], time=shop.now)
    old = shop.act("purchase", "apple", "r1", time=shop.now + 6 * DAY_MS, value=2.0)
    shop.attribute()
    recount_dirty(shop.engine, now=shop.now)
    counted = clicks_by_hour(shop)
    expire(shop.engine, now=shop.now + 91 * DAY_MS)
    shop.act("click", "apple", "r1", time=shop.now + 3)
    refund = shop.act("return", "apple", time=shop.now + 9 * DAY_MS)
    shop.attribute()
    recount_dirty(shop.engine, now=shop.now)
    assert money(shop) == {old: ("r1", 2.0), refund: ("r1", -2.0)}
    assert clicks_by_hour(shop) == counted == {shop.now // HOUR_MS * HOUR_MS: 1}
    with read(shop.engine) as connection:
        assert count_dirty_windows(connection) == 0


def test_after_an_outage_every_window_is_there_and_right(shop):
    start = shop.now // HOUR_MS * HOUR_MS
    for hour in range(12):
        shop.serve(f"r{hour}", ["apple"], time=start + hour * HOUR_MS, user=f"u{hour}")
        shop.act("click", "apple", f"r{hour}", time=start + hour * HOUR_MS, user=f"u{hour}")
    assert clicks_by_hour(shop) == {}
    shop.attribute()
    recount_dirty(shop.engine, now=start + 12 * HOUR_MS)
    assert clicks_by_hour(shop) == {start + hour * HOUR_MS: 1 for hour in range(12)}
    late = start + 13 * HOUR_MS
    shop.serve("late", ["apple"], time=start + 2 * HOUR_MS, user="u99")
    shop.act("click", "apple", "late", time=late, user="u99")  # counts in the hour of its list
    shop.attribute()
    recount_dirty(shop.engine, now=late)
    assert clicks_by_hour(shop)[start + 2 * HOUR_MS] == 2


def test_a_pass_ends_with_its_time_and_the_next_one_goes_on(sqlite_shop, monkeypatch):
    monkeypatch.setattr("monitoring.attribution.MARKS_A_STEP", 2)
    shop = sqlite_shop
    for number in range(5):
        shop.serve(f"r{number}", ["apple"], time=shop.now - number * HOUR_MS, user=f"u{number}")
        shop.act("click", "apple", f"r{number}", time=shop.now, user=f"u{number}")
    passes = [attribute(shop.engine, budget_seconds=0.0)]
    while passes[-1].after:
        passes.append(attribute(shop.engine, budget_seconds=0.0, after=passes[-1].after))
    assert [one.shoppers for one in passes] == [2, 2, 1, 0]
    assert len(shop.places()) == 5
    memory = Recounting()
    hours = []
    for _ in range(5):
        assert recount_dirty(shop.engine, now=shop.now, memory=memory, budget_seconds=0.0) >= 1
        hours.append(min(clicks_by_hour(shop)))
    first = shop.now // HOUR_MS * HOUR_MS
    assert hours == [first - number * HOUR_MS for number in range(5)]
    with read(shop.engine) as connection:
        assert count_dirty_shoppers(connection) == 0


def test_the_newest_hour_comes_first_and_older_ones_have_their_turn(sqlite_shop):
    shop, memory = sqlite_shop, Recounting()
    start = shop.now // HOUR_MS * HOUR_MS
    for number in range(5):
        shop.serve(f"r{number}", ["apple"], time=start - number * HOUR_MS)
    found = []
    for turn in range(4):  # in each turn there is time for two hours, and the newest hour is dirty again
        shop.serve(f"again{turn}", ["apple"], time=start)
        shop.attribute()
        clock = iter((0.0, 1.0, 2.0, 3.0, 4.0))
        recount_dirty(shop.engine, now=shop.now, memory=memory, budget_seconds=2.0, timer=clock.__next__)
        found.append(len(clicks_by_hour(shop)))
    assert found == [2, 3, 4, 5]


def test_a_day_is_counted_every_ten_minutes_and_when_it_is_over(sqlite_shop):
    shop, memory = sqlite_shop, Recounting()
    midnight = shop.now // DAY_MS * DAY_MS
    day = TimeWindow(midnight, midnight + DAY_MS)

    def lists(now):
        shop.serve(f"r{now}", ["apple"], time=midnight + 5)
        shop.attribute()
        recount_dirty(shop.engine, now=now, memory=memory)
        with read(shop.engine) as connection:
            return {f.window: f.detail["lists"] for f in read_figures(connection, "ctr", limit=9)}[day]

    assert lists(shop.now) == 1
    assert lists(shop.now + 1) == 1
    assert lists(shop.now + DAY_PAUSE_MS) == 3
    assert lists(day.end - 2) == 4
    assert lists(day.end - 1) == 4
    assert lists(day.end) == 6
    assert lists(day.end + 1) == 6


def test_a_segment_that_has_gone_is_not_left_behind(sqlite_shop):
    shop = sqlite_shop

    def slots(now):
        shop.attribute()
        recount_dirty(shop.engine, now=now)
        with read(shop.engine) as connection:
            figures = read_figures(connection, "ctr", segment=None, limit=99)
        return {figure.segment for figure in figures if figure.segment.startswith("slot")}

    shop.serve("r1", ["apple"], user="ann", slot="cart")
    shop.serve("r2", ["apple"], user="bob", slot="home")
    assert slots(shop.now) == {"slot:cart", "slot:home"}
    erase_person(shop.engine, "ann", now=shop.now)
    assert slots(shop.now) == {"slot:home"}


def meanwhile(shop, act):
    """Do something once, after the next pass has read its marks."""

    waiting = [act]

    def once(connection, cursor, statement, *_):
        if "JOIN interactions i JOIN items" in statement and waiting:
            waiting.pop()()

    event.listen(shop.engine, "before_cursor_execute", once)


def test_what_arrives_during_a_pass_is_not_lost(shop):
    shop.serve("r1", ["apple", "pear"])
    first = shop.act("click", "apple", "r1")
    later = []
    meanwhile(shop, lambda: later.append(shop.act("click", "pear", "r1")))
    assert shop.attribute() == 1
    assert shop.places() == {first: ("r1", 0)}
    assert shop.attribute() == 1
    assert shop.places() == {first: ("r1", 0), later[0]: ("r1", 1)}
    with read(shop.engine) as connection:
        assert count_dirty_shoppers(connection) == 0


def test_who_is_forgotten_during_a_pass_is_not_written(shop):
    shop.serve("r1", ["apple"], user="ann")
    shop.act("click", "apple", "r1", user="ann")
    meanwhile(shop, lambda: erase_person(shop.engine, "ann", now=shop.now))
    assert shop.attribute() == 0
    assert shop.places() == {}


def test_what_another_monitor_has_done_meanwhile_stays(shop):
    shop.serve("r1", ["apple"])
    click = shop.act("click", "apple", "r1")
    meanwhile(shop, shop.attribute)
    assert shop.attribute() == 0
    assert shop.places() == {click: ("r1", 0)}


def test_a_crawler_is_read_row_by_row(shop, monkeypatch):
    monkeypatch.setattr("monitoring.credit_rows.FEW_ROWS", 10)
    monkeypatch.setattr("monitoring.attribution.ROWS_A_WRITE", 7)
    login(shop, "other session", "u1")
    expected = {}
    for number in range(30):
        user = "u1" if number % 3 else "other session"
        shop.serve(f"r{number}", ["apple", "pear"], time=shop.now + 10 * number, user=user)
        name = shop.act(
            "purchase", "pear", f"r{number}" if number % 2 else None, time=shop.now + 10 * number, value=1.0
        )
        expected[name] = (f"r{number}", 1.0)
    expected[shop.act("return", "pear", time=shop.now + 999)] = ("r29", -1.0)
    assert shop.attribute() == 31
    assert money(shop) == expected
    assert shop.attribute() == 0
    shop.act("return", "pear", time=shop.now + 1000)
    assert shop.attribute() == 1


def test_lists_after_the_last_event_leave_no_cursor_open(shop, monkeypatch):
    """PostgreSQL keeps what an open cursor needs until the transaction ends, and a step has many shoppers."""
    monkeypatch.setattr("monitoring.credit_rows.FEW_ROWS", 0)
    click = {}
    for user in ("u1", "u2"):
        shop.serve(f"{user}-r", ["apple"], user=user)
        click[shop.act("click", "apple", user=user)] = (f"{user}-r", 0)
        shop.serve(f"{user}-later", ["apple"], user=user, time=shop.now + 1000)
    shop.attribute()
    gc.collect()  # an open cursor warns when it is freed, and a warning is an error
    assert shop.places() == click


def test_a_row_of_before_the_migration_is_completed(sqlite_shop):
    shop = sqlite_shop
    shop.serve("r1", ["apple"], user="u1")
    theirs = shop.act("click", "apple", "r1", user="u2")
    mine = shop.act("click", "apple", "r1", user="u1")
    with write(shop.engine) as connection:
        for row in connection.execute(select(interactions)).all():
            old = {"event_id": row.event_id, "request_id": "r1", "position": 0, "event_type": row.event_type}
            connection.execute(insert(attributions).values(old | {"event_time": row.event_time}))
    shop.attribute()
    assert theirs not in rows(shop)
    assert rows(shop)[mine].list_time == shop.now
