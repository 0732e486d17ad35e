"""One request for all reasons, and not two of them at a time."""

import json

from sqlalchemy import insert, select, update

from graphstore.session import read, write
from graphstore.tables import retrain_requests
from monitoring.triggers.ask import Reason, request


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
