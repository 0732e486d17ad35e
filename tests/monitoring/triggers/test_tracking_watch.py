"""An outage of the stored traffic: one alarm, no request, no judgement of a probation; its hours never count."""

import pytest
from sqlalchemy import insert, select, update

from graphstore.session import read, write
from graphstore.tables import HOUR_MS, alarms, item_buckets, metric_windows, models, promotions, retrain_requests
from monitoring import probation
from monitoring.config import MonitoringConfig
from monitoring.run import Monitor
from monitoring.triggers.fall import ctr_reason
from monitoring.triggers.hold import held, left_out
from monitoring.triggers.tracking_watch import TrackingWatch
from monitoring.windows import TimeWindow
from tests.monitoring.triggers.synthetic import MONDAY, cycle_hours, store
from training.lifecycle import registry
from training.lifecycle.promotions import Change

BROKEN = 15 * 24
FIVE_MINUTES = 300_000


def at(hour):
    return MONDAY + int(hour * HOUR_MS)


@pytest.fixture
def broken_shop(sqlite_engine):
    return broken(sqlite_engine)


def broken(engine):
    """No clicks for six hours from hour `BROKEN` on; then all is well again."""
    with write(engine) as connection:
        store(connection, cycle_hours(16, falls={BROKEN: 0.0, BROKEN + 6: 1.0}))
        rows = [{"hour": at(hour) // HOUR_MS, "item_key": 1, "views": 900} for hour in range(16 * 24)]
        connection.execute(insert(item_buckets), rows)
    return engine


def test_an_outage_is_one_alarm_and_no_request(broken_shop, tmp_path, caplog):
    monitor = Monitor(broken_shop, config=MonitoringConfig(), state_dir=tmp_path)
    lasted = []
    for hour in (*range(BROKEN - 1, BROKEN + 8), BROKEN + 20):
        for now in (at(hour + 0.6), at(hour + 0.6) + FIVE_MINUTES):
            with write(broken_shop) as connection:  # hours that have not begun are not there yet
                late = metric_windows.c.window_start > now
                kept = connection.execute(select(metric_windows).where(late)).mappings().all()
                connection.execute(metric_windows.delete().where(late))
            monitor.check_alarms(now=now)
            assert not monitor.ask(None, now=now)
            with read(broken_shop) as connection:
                lasted += [hour] if held(connection) else []
            with write(broken_shop) as connection:
                if kept:
                    connection.execute(insert(metric_windows), kept)
    assert sorted(set(lasted)) == list(range(BROKEN, BROKEN + 6))
    with read(broken_shop) as connection:
        (row,) = connection.execute(select(alarms)).all()
        assert row.name == "tracking_outage"
        assert row.text.startswith("clicks have vanished: 0 came where at least")
        assert connection.execute(select(retrain_requests)).all() == []
        spans = left_out(connection, since=at(0), now=at(BROKEN + 20))
        assert spans == [TimeWindow(at(BROKEN - 1), at(BROKEN + 7))]
        assert ctr_reason(connection, now=at(BROKEN + 20)) is None
    assert [record.levelname for record in caplog.records if "tracking_outage" in record.message] == ["WARNING"]


def test_a_silence_that_is_seen_once_is_only_suspected(engine):
    broken_shop = broken(engine)
    watch = TrackingWatch()
    now = at(BROKEN + 0.9)
    with read(broken_shop) as connection:
        assert watch.look(connection, now=now) is None
        assert watch.suspected
        assert watch.look(connection, now=now + FIVE_MINUTES) is not None
        assert TrackingWatch().look(connection, now=at(BROKEN - 1)) is None


def test_those_with_the_previous_champion_who_still_click_show_that_the_new_one_is_bad(broken_shop):
    with write(broken_shop) as connection:
        for version in ("m1", "m2"):
            row = {"model_version": version, "kind": "closed_form", "status": "kept", "snapshot_id": "s"}
            connection.execute(insert(models).values(**row, bundle=version, created_at=0))
        registry.promote(connection, "m1", now=at(0))
        registry.promote(connection, "m2", now=at(BROKEN), change=Change("gate", "", 0.02, 86_400.0))
        store(connection, cycle_hours(16, each=100), segment="variant:previous")
    watch = TrackingWatch()
    with read(broken_shop) as connection:
        for now in (at(BROKEN + 3), at(BROKEN + 3) + FIVE_MINUTES):
            assert watch.look(connection, now=now) is None
        assert not watch.suspected


def test_a_probation_waits_for_the_end_and_gets_its_time_back(broken_shop):
    with write(broken_shop) as connection:
        for version in ("m1", "m2"):
            row = {"model_version": version, "kind": "closed_form", "status": "kept", "snapshot_id": "s"}
            connection.execute(insert(models).values(**row, bundle=version, created_at=0))
        registry.promote(connection, "m1", now=at(0))
        registry.promote(connection, "m2", now=at(0), change=Change("gate", "", 0.1, 10 * 3600.0))
        outage = {"name": "tracking_outage", "started_at": at(5), "text": "x", "figures": f'{{"since": {at(4)}}}'}
        connection.execute(insert(alarms).values(outage))
    assert probation.watch(broken_shop, None, now=at(11)) is None
    with write(broken_shop) as connection:
        connection.execute(update(alarms).values(ended_at=at(7.5)))
    # Hours 3 to 8 do not count, so five hours come on top of the ten.
    assert probation.watch(broken_shop, None, now=at(14.9)).outcome is None
    assert probation.watch(broken_shop, None, now=at(15.1)).outcome == "expired"
    with read(broken_shop) as connection:
        assert connection.scalar(select(promotions.c.ended_at).where(promotions.c.to_version == "m2")) == at(15.1)
