"""When a retrain is asked for, and when it is not."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, update

from graphstore.session import read, write
from graphstore.tables import retrain_requests
from monitoring.ctr import write_ctr_windows
from monitoring.triggers import Reason, ctr_reason, drift_reason, request
from monitoring.verdict import DriftResult
from monitoring.windows import TimeWindow

HOUR_MS = 3_600_000
RESULT = DriftResult("drift", "3 of 7 columns", TimeWindow(0, 5), TimeWindow(5, 9), 10, 20, share=0.43)


@pytest.mark.parametrize(
    ("verdict", "reason"), [("drift", "drift: 3 of 7 columns"), ("stable", None), ("insufficient", None)]
)
def test_only_drift_is_a_reason(verdict, reason):
    found = drift_reason(replace(RESULT, verdict=verdict))
    assert (found.text if found else None) == reason
    if found:
        assert found.figures == {"drift": {"share": 0.43, "psi": {}, "drifted": []}}
    assert drift_reason(None) is None


def fall(shop, *rates, served=1000, min_impressions=500, open_windows=1):
    """The reason after hours with these clicks in `served` impressions each, oldest first; the newest still fills."""
    first = shop.now // HOUR_MS * HOUR_MS
    for hour, clicks in enumerate(rates):
        shop.click_through(served, clicks, time=first + hour * HOUR_MS)
    now = first + len(rates) * HOUR_MS
    with write(shop.engine) as connection:
        write_ctr_windows(connection, now=now, window_seconds=3600, open_windows=len(rates) + 1)
    with read(shop.engine) as connection:
        return ctr_reason(
            connection,
            now=now,
            window_seconds=3600,
            open_windows=open_windows,
            reference_windows=3,
            min_impressions=min_impressions,
        )


def test_a_clear_fall_is_a_reason_that_names_both_rates(shop):
    reason = fall(shop, 100, 100, 100, 40)
    assert reason.text.startswith("ctr: 0.0400 of 1000 impressions")
    assert "0.1000 of 3000" in reason.text
    ctr = reason.figures["ctr"]
    assert (ctr["current"]["clicks"], ctr["current"]["impressions"], ctr["reference"]["clicks"]) == (40, 1000, 300)
    assert ctr["current"]["high"] < ctr["reference"]["low"]


def test_chance_a_rise_and_a_first_window_are_no_reasons(sqlite_shop):
    assert fall(sqlite_shop, 100, 100, 100, 90) is None


@pytest.mark.parametrize(("minutes", "again"), [(-30, False), (-90, True)])
def test_a_fall_is_a_reason_again_only_in_a_window_after_the_request(sqlite_shop, minutes, again):
    newest_begins = sqlite_shop.now // HOUR_MS * HOUR_MS + 3 * HOUR_MS
    with write(sqlite_shop.engine) as connection:
        asked_at = newest_begins + HOUR_MS + minutes * 60_000
        connection.execute(
            insert(retrain_requests).values(reason="r", requested_by="monitoring", requested_at=asked_at)
        )
    assert (fall(sqlite_shop, 100, 100, 100, 40) is not None) is again


def test_a_rise_is_no_reason(sqlite_shop):
    assert fall(sqlite_shop, 40, 40, 40, 100) is None


def test_a_first_window_has_nothing_to_be_compared_with(sqlite_shop):
    assert fall(sqlite_shop, 0) is None


def test_too_few_impressions_are_no_reason(sqlite_shop):
    assert fall(sqlite_shop, 100, 100, 100, 40, min_impressions=1001) is None


def test_only_the_windows_before_it_within_the_reference_count(sqlite_shop):
    # The three windows of the reference had 4 %; the better one lies before them.
    assert fall(sqlite_shop, 900, 40, 40, 40, 40) is None


def test_a_window_that_is_still_counted_again_is_not_judged(sqlite_shop):
    assert fall(sqlite_shop, 100, 100, 100, 40, open_windows=2) is None


def ask(engine, *, now, reasons=("drift: x",), cooldown_seconds=60):
    found = [Reason(text, {text[:3]: len(text)}) for text in reasons]
    with write(engine) as connection:
        return request(connection, found, now=now, cooldown_seconds=cooldown_seconds)


def requests(engine):
    with read(engine) as connection:
        return [
            (r.reason, r.requested_by, r.requested_at, r.run_id) for r in connection.execute(select(retrain_requests))
        ]


def take(engine):
    with write(engine) as connection:
        connection.execute(update(retrain_requests).values(run_id="run-1", status="running"))


def test_all_reasons_become_one_request(engine):
    assert not ask(engine, now=1000, reasons=[])
    assert requests(engine) == []
    assert ask(engine, now=1000, reasons=["drift: x", "ctr: y"])
    assert requests(engine) == [("drift: x; ctr: y", "monitoring", 1000, None)]
    with read(engine) as connection:
        assert json.loads(connection.scalar(select(retrain_requests.c.figures))) == {"dri": 8, "ctr": 6}


def test_one_request_at_a_time(engine):
    assert ask(engine, now=0)
    assert not ask(engine, now=10**9)
    take(engine)
    assert ask(engine, now=10**9)
    assert len(requests(engine)) == 2


def test_the_cooldown_counts_from_anybodys_request(engine):
    with write(engine) as connection:
        row = {"reason": "new events", "requested_by": "scheduler", "requested_at": 0, "status": "running"}
        connection.execute(insert(retrain_requests).values(row))
    assert not ask(engine, now=59_999)
    assert ask(engine, now=60_000)
