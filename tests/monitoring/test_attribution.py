"""Interactions find the list that led to them, once, in whatever order things arrive."""

NOON_LOOKBACK_SECONDS = 3600.0
MINUTE_MS = 60_000


def test_an_interaction_is_matched_with_its_place_in_the_list(shop):
    shop.serve("r1", ["apple", "pear", "plum"])
    click = shop.act("click", "pear", "r1")
    buy = shop.act("purchase", "plum", "r1")
    assert shop.attribute() == 2
    assert shop.places() == {click: ("r1", 1), buy: ("r1", 2)}


def test_what_names_no_list_or_another_list_or_an_item_outside_it_is_not_matched(shop):
    shop.serve("r1", ["apple", "pear"])
    shop.serve("r2", ["plum"])
    shop.act("click", "apple")
    shop.act("click", "apple", "r2")
    shop.act("click", "quince", "r1")
    shop.act("click", "apple", "no such list")
    assert shop.attribute() == 0
    assert shop.places() == {}


def test_a_second_pass_adds_nothing_and_only_new_events_are_counted(shop):
    shop.serve("r1", ["apple"])
    first = shop.act("click", "apple", "r1")
    assert shop.attribute() == 1
    assert shop.attribute() == 0
    second = shop.act("cart", "apple", "r1")
    assert shop.attribute() == 1
    assert shop.places() == {first: ("r1", 0), second: ("r1", 0)}


def test_a_click_that_comes_before_its_impression_waits_for_it(shop):
    click = shop.act("click", "pear", "r1")
    assert shop.attribute() == 0
    shop.serve("r1", ["apple", "pear"])
    assert shop.attribute(now=shop.now + MINUTE_MS) == 1
    assert shop.places() == {click: ("r1", 1)}


def test_the_look_back_counts_from_arrival_not_from_the_events_own_time(shop):
    shop.serve("r1", ["apple"])
    last_year = shop.now - 365 * 24 * 60 * MINUTE_MS
    replayed = shop.act("click", "apple", "r1", time=last_year, arrives=shop.now)
    shop.act("click", "apple", "r1", time=shop.now, arrives=shop.now - 61 * MINUTE_MS)
    assert shop.attribute(lookback_seconds=NOON_LOOKBACK_SECONDS) == 1
    assert shop.places() == {replayed: ("r1", 0)}


def test_an_item_at_two_places_takes_the_place_that_the_shop_names_else_the_first(shop):
    shop.serve("r1", ["apple", "pear", "apple"])
    named = shop.act("click", "apple", "r1", position=2)
    unnamed = shop.act("click", "apple", "r1")
    wrong = shop.act("click", "apple", "r1", position=1)
    assert shop.attribute() == 3
    assert shop.places() == {named: ("r1", 2), unnamed: ("r1", 0), wrong: ("r1", 0)}
