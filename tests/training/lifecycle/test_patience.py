"""A shop gets the share and the time that its traffic allows, and is told why."""

import json

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert

from graphstore.session import write
from graphstore.tables import metric_windows
from training.lifecycle.patience import (
    LARGEST_SHARE,
    LONGEST,
    UNJUDGED_SHARE,
    Traffic,
    Wish,
    change_of,
    patience,
    recent_traffic,
    unjudged,
    visible_fall,
)

WEEK = 7 * 86_400.0
WISH = Wish(0.1, WEEK)
HOUR_MS = 3_600_000
NOW = 2_000 * 24 * HOUR_MS


def test_a_busy_shop_gets_what_it_asks_for():
    plan = patience(Traffic(1_000_000, 0.05), WISH)
    assert (plan.share, plan.seconds) == (0.1, WEEK)
    assert plan.visible_fall and plan.visible_fall < 0.1
    assert "10% of the shoppers" in plan.words
    assert "asked" not in plan.words


def test_a_small_shop_gives_more_shoppers_first_and_then_more_time():
    medium, small = patience(Traffic(60_000, 0.03), WISH), patience(Traffic(3_000, 0.03), WISH)
    assert medium.share > 0.1
    assert medium.seconds == WEEK
    assert (small.share, small.seconds) == (LARGEST_SHARE, LONGEST * WEEK)
    assert "(asked: 10% for 7 days, too little for this traffic)" in small.words
    assert "will be seen" in small.words


def test_where_nothing_can_be_seen_the_wish_stays_and_that_is_said():
    for traffic in (Traffic(0, 0), Traffic(10, 0.01)):
        plan = patience(traffic, WISH)
        assert (plan.share, plan.seconds, plan.visible_fall) == (0.1, WEEK, None)
        assert "only the time ends the probation" in plan.words


def test_a_model_that_no_gate_has_judged_gets_half_of_the_shoppers():
    assert unjudged(WISH) == Wish(UNJUDGED_SHARE, WEEK) == Wish(0.5, WEEK)
    assert unjudged(Wish(0.0, WEEK)) == Wish(0.0, WEEK)  # turned off


@given(st.floats(1e4, 1e7), st.floats(0.005, 0.5), st.floats(0.05, 0.4), st.floats(1.1, 4))
def test_more_traffic_a_larger_share_and_more_time_see_smaller_falls(
    daily: float, ctr: float, share: float, more: float
):
    def fall(daily: float, share: float, seconds: float) -> float:
        return visible_fall(Traffic(daily, ctr), share=share, seconds=seconds) or 1.0

    before = fall(daily, share, WEEK)
    assert fall(daily * more, share, WEEK) <= before
    assert fall(daily, share, WEEK * more) <= before
    assert fall(daily, min(share * more, 0.5), WEEK) <= before


def test_the_traffic_is_that_of_the_last_days(engine: Engine):
    def window(end: int, impressions: int, segment: str = "all") -> None:
        detail = json.dumps({"impressions": impressions, "clicks": impressions // 10})
        row = {"metric": "ctr", "segment": segment, "window_start": end - HOUR_MS, "window_end": end, "detail": detail}
        connection.execute(insert(metric_windows).values(row))

    with write(engine) as connection:
        assert recent_traffic(connection, now=NOW) == Traffic(0.0, 0.0)
        window(NOW, 100)
        window(NOW - 23 * HOUR_MS, 100)
        window(NOW - 23 * HOUR_MS, 77, "slot:home")
        assert recent_traffic(connection, now=NOW) == Traffic(200.0, 0.1)  # one day old
        window(NOW - 24 * 30 * HOUR_MS, 9_999)
        assert recent_traffic(connection, now=NOW) == Traffic(200.0, 0.1)
        window(NOW - 24 * 6 * HOUR_MS, 500)
        assert round(recent_traffic(connection, now=NOW).impressions_a_day) == round(700 / (6 + 1 / 24))
        change = change_of(connection, "gate, run r1", "better", WISH, now=NOW)
        assert (change.who, change.why, change.probation_seconds) == ("gate, run r1", "better", LONGEST * WEEK)
        assert 0.2 < change.detail["visible_fall"] < 1
        assert change_of(connection, "gate, run r1", "better", Wish(), now=NOW).probation_share == 0
