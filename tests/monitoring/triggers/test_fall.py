"""A fall of the click-through rate is a reason once; the time of the day, late clicks and outages are none."""

from dataclasses import replace

import pytest
from sqlalchemy import insert

from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, HOUR_MS, alarms, attributions, promotions, retrain_requests
from monitoring.triggers.fall import Course, FallJudge, ctr_reason, fallen, watched
from monitoring.triggers.hours import cumulative
from monitoring.windows import TimeWindow
from tests.monitoring.triggers.synthetic import MONDAY, cycle_hours, store

FALL = 20 * 24
NOW = MONDAY + 21 * 24 * HOUR_MS + 600_000


def judged(hours, **course):
    return watched(hours, replace(Course(until=hours[-1].end), **course))


def test_a_lasting_fall_is_found_within_hours_and_sized():
    hours = cycle_hours(21, falls={FALL: 0.8})
    assert not fallen(judged(hours[:FALL]))
    found = judged(hours[: FALL + 6])
    assert fallen(found)
    assert abs(found.fall - 0.2) < 0.05
    assert abs(found.since - hours[FALL].start) <= 2 * HOUR_MS


def test_the_time_of_the_day_and_a_rise_are_no_fall():
    hours = cycle_hours(21, falls={FALL: 1.3})
    assert not any(fallen(judged(hours[:upto])) for upto in (3, 20, 43, len(hours)))


def test_what_is_over_in_two_hours_is_no_lasting_fall():
    hours = cycle_hours(21, falls={FALL: 0.5, FALL + 2: 1.0})
    assert not any(fallen(judged(hours[:upto])) for upto in (FALL + 2, FALL + 3, FALL + 5, FALL + 9))


def test_after_a_restart_the_low_level_is_the_new_one_and_only_a_further_fall_counts():
    hours = cycle_hours(40, falls={FALL: 0.8, 33 * 24: 0.6})
    restarts = [hours[FALL + 6].start]
    assert not any(fallen(judged(hours[:upto], restarts=restarts)) for upto in (FALL + 12, 33 * 24))
    assert fallen(judged(hours[: 33 * 24 + 12], restarts=restarts))
    assert fallen(judged(hours[: FALL + 10]))
    assert not fallen(judged(hours[: FALL + 10], restarts=[hours[FALL + 10].start]))  # nothing has come since


def test_a_small_shop_is_heard_later():
    hours = cycle_hours(40, each=100, falls={FALL: 0.8})
    assert not fallen(judged(hours[: FALL + 24]))
    assert fallen(judged(hours))


def test_late_clicks_are_no_fall():
    hours = cycle_hours(21)
    shares = cumulative({0: 70, 1: 20, 3: 10})
    assert shares == [0.7, 0.9, 0.9, 1.0]
    late = [*hours[:-3], *(replace(h, clicks=h.clicks * s) for h, s in zip(hours[-3:], (0.9, 0.9, 0.7), strict=True))]
    with_shares, without = judged(late, shares=shares), judged(late)
    assert with_shares.log_e_value < 0 < without.log_e_value


def test_the_hours_of_an_outage_do_not_count():
    hours = cycle_hours(21, falls={FALL: 0.02, FALL + 8: 1.0})
    assert fallen(judged(hours[: FALL + 8]))
    outage = TimeWindow(hours[FALL].start, hours[FALL + 8].start)
    assert not any(fallen(judged(hours[:upto], left_out=[outage])) for upto in (FALL + 8, FALL + 11, len(hours)))


@pytest.mark.parametrize("hours", [[], cycle_hours(1, rate=0.0), cycle_hours(1, each=0.0)], ids=["no", "0 clicks", "0"])
def test_without_clicks_there_is_no_evidence(hours):
    assert not fallen(watched(hours, Course(until=NOW)))


def test_the_stored_rows_are_judged_and_a_request_a_rollback_and_an_outage_count(engine):
    fallen_at = 20 * 24 + 12
    with write(engine) as connection:
        store(connection, cycle_hours(21, falls={fallen_at: 0.8}))
    with read(engine) as connection:
        reason = ctr_reason(connection, now=NOW)
        assert reason is not None
        assert reason.text.startswith("ctr: 0.0")
        assert "a fall by 18%" in reason.text
        assert reason.figures["ctr"]["impressions"] > 0
        assert ctr_reason(connection, now=NOW - 12 * HOUR_MS) is None
        judge = FallJudge()
        assert judge.reason(connection, now=NOW) == reason
    for row, table in (
        ({"reason": "ctr", "requested_by": "monitoring", "requested_at": NOW - HOUR_MS}, retrain_requests),
        ({"at": NOW - HOUR_MS, "action": "rollback", "to_version": "m", "who": "me", "why": ""}, promotions),
        ({"name": "tracking_outage", "started_at": NOW - 12 * HOUR_MS, "ended_at": NOW, "text": ""}, alarms),
    ):
        with write(engine) as connection:
            done = connection.begin_nested()
            connection.execute(insert(table).values(row))
            assert ctr_reason(connection, now=NOW) is None
            if table is retrain_requests:
                assert judge.reason(connection, now=NOW) is None
            done.rollback()


def test_only_the_promotion_that_answers_a_request_begins_anew(sqlite_engine):
    with write(sqlite_engine) as connection:
        store(connection, cycle_hours(21, falls={20 * 24 + 12: 0.8}))
        row = {"at": NOW - 2 * HOUR_MS, "action": "promote", "to_version": "m", "who": "me", "why": ""}
        connection.execute(insert(promotions).values(row))
        assert ctr_reason(connection, now=NOW) is not None
        asked = {"reason": "ctr", "requested_by": "monitoring", "requested_at": NOW - 20 * HOUR_MS}
        connection.execute(insert(retrain_requests).values(asked))
        assert ctr_reason(connection, now=NOW) is None


def test_the_delays_of_clicks_come_from_the_attributed_ones(sqlite_engine):
    from monitoring.triggers.hours import shares_seen

    click = EVENT_TYPES.index("click")
    rows = [
        {
            "event_id": f"e{n}",
            "request_id": "r",
            "position": n,
            "event_type": click,
            "event_time": time,
            "list_time": at,
        }
        for n, (at, time) in enumerate([(10, 20), (30, 40), (3_599_999, 3_600_001), (50, 3 * HOUR_MS)])
    ]
    with write(sqlite_engine) as connection:
        assert shares_seen(connection, now=NOW) == [1.0]
        connection.execute(insert(attributions), rows)
        assert shares_seen(connection, now=30 * HOUR_MS) == [0.5, 0.75, 0.75, 1.0]
