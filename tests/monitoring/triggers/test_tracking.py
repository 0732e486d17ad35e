"""What vanishes is an outage; what only falls, or was never much, is none."""

import pytest

from monitoring.triggers.hours import Hour
from monitoring.triggers.tracking import Past, alive, judge, recent_hours
from monitoring.windows import TimeWindow
from tests.monitoring.triggers.synthetic import MONDAY

HOUR_MS = 3_600_000
DAYS = 29
NOW = MONDAY + DAYS * 24 * HOUR_MS + 45 * 60_000
"""A quarter before the end of an hour."""


def past(shops=1000.0, quiet=(), *, clicks=1.0, lists=1.0, events=1.0, since=NOW - 2 * HOUR_MS, left_out=()):
    """A shop with 1,000 impressions, 100 lists, 50 clicks and 300 events an hour; from `since` on shares of them."""
    hours, counted = {}, {}
    for start in range(MONDAY, NOW, HOUR_MS):
        part = min(NOW - start, HOUR_MS) / HOUR_MS
        now = start >= since
        shown = shops * part * (lists if now else 1.0)
        clicked = shops / 20 * part * (clicks * lists if now else 1.0)
        if start not in quiet and shown:
            hours[start] = Hour(start, shown, clicked, 20 * shown, confirmed=shown / 10, served=shown / 10)
        counted[start] = shops * 0.3 * part * (events if now else 1.0)
    return Past(hours, counted, left_out, rate=0.05, clicks_alike=2.0)


def recent(given, shares=(1.0,)):
    return recent_hours(given, now=NOW, shares=shares, hours=72)


@pytest.mark.parametrize(
    ("shares", "vanished"),
    [
        ({}, ()),
        ({"clicks": 0.0}, ("clicks",)),
        ({"clicks": 0.01}, ("clicks",)),
        ({"clicks": 0.3}, ()),  # a fall, and a reason for a retrain
        ({"lists": 0.0}, ("served lists", "confirmed lists")),
        ({"lists": 0.0, "events": 0.0}, ("served lists", "confirmed lists", "events")),
        ({"events": 0.02}, ("events",)),
        ({"lists": 0.2, "events": 0.2}, ()),
    ],
)
def test_what_has_vanished_is_found(shares, vanished):
    found = judge(recent(past(**shares)))
    assert found.vanished == vanished
    assert not vanished or found.since == NOW // HOUR_MS * HOUR_MS - HOUR_MS
    assert all(f"{kind} have vanished" in found.text for kind in vanished)


def test_a_small_shop_is_suspected_first_and_judged_later():
    given = {
        "shops": 120.0,
        "clicks": 0.0,
    }  # six clicks an hour, three of them independent, 70 % of that in a slow hour
    early, late = (judge(recent(past(since=NOW - hours * HOUR_MS, **given))) for hours in (4, 8))
    assert (early.vanished, early.suspected) == ((), ("clicks",))
    assert late.vanished == ("clicks",)


def test_a_silence_of_minutes_is_none():
    given = past(shops=1_000_000.0, clicks=0.0, since=NOW)
    newest = NOW // HOUR_MS * HOUR_MS
    given.hours[newest] = Hour(newest, 1e6, 0.0, 2e7, confirmed=1e5, served=1e5)
    assert judge(recent_hours(given, now=newest + 20 * 60_000, shares=(1.0,), hours=72)).vanished == ()
    assert judge(recent_hours(given, now=newest + 31 * 60_000, shares=(1.0,), hours=72)).vanished == ("clicks",)


def test_the_same_hours_of_the_week_may_be_quiet():
    newest = NOW // HOUR_MS * HOUR_MS
    closed = {newest - HOUR_MS, newest} | {newest - hours * HOUR_MS - 7 * 24 * HOUR_MS for hours in (0, 1)}
    assert judge(recent(past(quiet=closed, lists=0.0))).vanished == ()
    unlike = {time - 3 * 24 * HOUR_MS for time in closed}
    assert "served lists" in judge(recent(past(quiet=unlike, lists=0.0))).vanished


def test_without_a_past_nothing_is_judged():
    given = past(lists=0.0, events=0.0)
    young = Past({}, {start: 5.0 for start in given.events if start > NOW - 3 * HOUR_MS})
    assert judge(recent(young)).vanished == ()
    assert judge([]).vanished == ()


def test_hours_of_an_outage_are_no_reference():
    spans = [TimeWindow(MONDAY, NOW - 3 * HOUR_MS)]
    assert judge(recent(past(lists=0.0, events=0.0, left_out=spans))).vanished == ()


def test_it_is_over_when_what_vanished_is_there_again():
    since = NOW // HOUR_MS * HOUR_MS - 5 * HOUR_MS
    broken = past(clicks=0.0, since=since)
    assert not alive(recent(broken), ["clicks"], since=since)
    again = past(clicks=0.0, since=since)
    newest = NOW // HOUR_MS * HOUR_MS
    again.hours[newest] = past().hours[newest]
    assert alive(recent(again), ["clicks"], since=since)
    assert alive(recent(past()), ["events"], since=since)


def test_an_outage_that_outlasts_all_that_was_known_ends_with_anything():
    since = NOW // HOUR_MS * HOUR_MS - 5 * HOUR_MS
    forgotten = Past({}, {NOW // HOUR_MS * HOUR_MS: 1.0})
    assert alive(recent(forgotten), ["events"], since=since)
    assert not alive(recent(Past({}, {})), ["events"], since=since)
