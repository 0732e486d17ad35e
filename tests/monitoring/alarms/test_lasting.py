"""Each trouble starts once and ends once."""

from sqlalchemy import select, update

from graphstore.session import read, write
from graphstore.tables import alarms
from monitoring.alarms.lasting import Found, lasting, list_alarms, settle


def step(engine, now, **found):
    with write(engine) as connection:
        settle(connection, found, now=now)


def test_a_trouble_starts_once_ends_once_and_may_come_again(engine, caplog):
    caplog.set_level("INFO")
    for now in (10, 20, 30):
        step(engine, now, sample_ratio=Found(f"seen at {now}", {"p": 0.001}), training_fails=None)
    with read(engine) as connection:
        assert lasting(connection)["sample_ratio"].text == "seen at 10"
        assert lasting(connection).keys() == {"sample_ratio"}
    for now in (40, 50):
        step(engine, now, sample_ratio=None)
    step(engine, 60, sample_ratio=Found("again"))
    with read(engine) as connection:
        rows = connection.execute(select(alarms).order_by(alarms.c.alarm_key)).all()
        assert [(row.started_at, row.ended_at, row.text) for row in rows] == [
            (10, 40, "seen at 10"),
            (60, None, "again"),
        ]
        assert [one.started_at for one in list_alarms(connection, "sample_ratio", since=41)] == [60]
        assert [one.figures for one in list_alarms(connection, "sample_ratio", since=40)] == [{"p": 0.001}, {}]
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "alarm sample_ratio: seen at 10",
        "alarm sample_ratio is over, it began with: seen at 10",
        "alarm sample_ratio: again",
    ]


def test_the_end_is_delivered_like_the_start(sqlite_engine):
    step(sqlite_engine, 10, training_fails=Found("x"))
    with write(sqlite_engine) as connection:
        connection.execute(update(alarms).values(delivered_at=11, attempts=3))
    step(sqlite_engine, 20, training_fails=None)
    with read(sqlite_engine) as connection:
        (row,) = connection.execute(select(alarms)).all()
        assert (row.ended_at, row.delivered_at, row.attempts) == (20, None, 0)
