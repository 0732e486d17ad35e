"""Deliveries: every change once, tried again from the table, never for ever."""

import json

from sqlalchemy import select

from graphstore.session import open_engine, read, write
from graphstore.tables import alarms
from monitoring.alarms.database_away import PATIENCE_MS, DatabaseAway
from monitoring.alarms.lasting import Found, settle
from monitoring.alarms.sender import PAUSES_SECONDS, AlarmSender
from monitoring.alarms.webhook import Webhook
from tests.monitoring.alarms.receiver import receiving
from tests.waiting import wait_until

NOW = 1_700_000_000_000


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


def states(receiver):
    return [json.loads(body)["id"].rpartition("-")[2] for _, _, body in receiver.got]


def sender_to(engine, receiver, clock):
    return AlarmSender(engine, Webhook(receiver.url, "x" * 16), clock=clock, look_seconds=0.01)


def change(engine, found, *, now):
    with write(engine) as connection:
        settle(connection, {"sample_ratio": found}, now=now)


def test_a_start_and_an_end_are_delivered_once_each(engine):
    clock = Clock()
    with receiving() as receiver:
        sender = sender_to(engine, receiver, clock)
        assert sender.deliver_due() == 0
        change(engine, Found("x"), now=NOW)
        assert (sender.deliver_due(), sender.deliver_due()) == (1, 0)
        change(engine, None, now=NOW + 5)
        clock.now += 5
        assert (sender.deliver_due(), sender.deliver_due()) == (1, 0)
    assert states(receiver) == ["started", "ended"]


def test_a_failed_delivery_is_tried_again_after_a_restart_and_given_up_in_the_end(sqlite_engine, caplog):
    clock = Clock()
    with receiving() as receiver:
        receiver.status = 500
        change(sqlite_engine, Found("x"), now=NOW)
        for pause in PAUSES_SECONDS:
            clock.now += pause * 1000 - 1
            sender = sender_to(sqlite_engine, receiver, clock)  # a new process each time
            sender.deliver_due()
            clock.now += 1
            sender.deliver_due()
            sender.deliver_due()
        assert len(receiver.got) == len(PAUSES_SECONDS)
        clock.now += 10**9
        assert sender.deliver_due() == 0
    assert "it is given up" in caplog.records[-1].getMessage()
    with read(sqlite_engine) as connection:
        assert connection.scalar(select(alarms.c.delivered_at)) is None


def test_an_alarm_that_ends_before_it_was_delivered_is_delivered_once_with_both_times(sqlite_engine):
    clock = Clock()
    with receiving() as receiver:
        change(sqlite_engine, Found("x"), now=NOW)
        change(sqlite_engine, None, now=NOW + 7)
        clock.now += 7
        assert sender_to(sqlite_engine, receiver, clock).deliver_due() == 1
    assert states(receiver) == ["ended"]


def test_old_alarms_are_no_news_for_a_webhook_that_is_set_later(sqlite_engine):
    clock = Clock()
    with receiving() as receiver:
        change(sqlite_engine, Found("x"), now=NOW)
        clock.now += 30 * 86_400_000
        assert sender_to(sqlite_engine, receiver, clock).deliver_due() == 0
    assert receiver.got == []


def test_a_running_sender_delivers_and_stops(sqlite_engine):
    with receiving() as receiver:
        sender = sender_to(sqlite_engine, receiver, Clock())
        sender.start()
        change(sqlite_engine, Found("x"), now=NOW)
        wait_until(lambda: bool(receiver.got))
        sender.close()
    assert states(receiver) == ["started"]


def test_a_database_that_is_away_is_told_once_and_stored_when_it_is_back(sqlite_engine, tmp_path, caplog):
    clock = Clock()
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")  # no tables: every statement fails
    with receiving() as receiver:
        sender = sender_to(empty, receiver, clock)
        sender.start()
        away = DatabaseAway(sender)
        for seconds in (0, 60, 119, 120, 180):
            clock.now = NOW + seconds * 1000
            away.failed("connection refused", now=clock.now)
            assert ("database_away" in caplog.text) == (seconds * 1000 >= PATIENCE_MS)
        wait_until(lambda: bool(receiver.got))
        sender.close()
        empty.dispose()
        away.back(sqlite_engine, now=NOW + 200_000)
        away.back(sqlite_engine, now=NOW + 210_000)
        assert states(receiver) == ["started"]
        clock.now = NOW + 210_000
        assert sender_to(sqlite_engine, receiver, clock).deliver_due() == 1
    assert states(receiver) == ["started", "ended"]
    assert len({json.loads(body)["started_at"] for _, _, body in receiver.got}) == 1
    with read(sqlite_engine) as connection:
        (row,) = connection.execute(select(alarms)).all()
        assert (row.name, row.started_at, row.ended_at) == ("database_away", NOW, NOW + 200_000)


def test_a_short_outage_of_the_database_is_none(sqlite_engine, caplog):
    away = DatabaseAway(None)
    away.failed("x", now=NOW)
    away.back(sqlite_engine, now=NOW + 30_000)
    away.failed("x", now=NOW + PATIENCE_MS + 1)
    assert caplog.records == []
