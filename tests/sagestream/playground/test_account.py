"""The account of a run is by id: what others sent hides nothing, and what is missing fails aloud."""

import json
from collections.abc import Iterable

import pytest
from sqlalchemy import Engine

from graphstore.session import read
from sagestream.playground.account import CHUNK, Account, NotAccounted, settle
from stream.events import DeadLetter, EventType, Interaction, utc
from stream.worker.sink import Sink

NOW = 1_767_600_000_000


def store(engine: Engine, ids: Iterable[str], *, now: int = NOW + 1) -> None:
    rows = [
        Interaction(event_id=name, event_type=EventType.VIEW, user_id="u", item_id="i", event_time=utc(NOW))
        for name in ids
    ]
    Sink(engine, None).store_interactions(rows, now=now)


def letter(raw: bytes, seen: int = NOW + 1) -> DeadLetter:
    return DeadLetter(raw=raw, topic="interactions", partition=0, offset=0, error="bad", first_seen=utc(seen))


def ids(first: int, count: int) -> list[str]:
    return [f"e{number}" for number in range(first, first + count)]


def test_foreign_events_do_not_hide_lost_ones(sqlite_engine: Engine) -> None:
    account = Account(NOW)
    account.sent(ids(0, 1982))
    store(sqlite_engine, ids(0, 892))
    store(sqlite_engine, [f"of somebody else {number}" for number in range(1090)])
    with pytest.raises(NotAccounted, match=r"1,090 of 1,982 events of this run are neither stored .*e892, e893"):
        settle(account, lambda: read(sqlite_engine), list, seconds=0)
    assert (account.produced, account.stored, account.duplicate, account.dead) == (1982, 892, 0, 0)


def test_each_has_one_outcome(sqlite_engine: Engine) -> None:
    account, malformed = Account(NOW), b'{"event_type": "purchase"}'
    store(sqlite_engine, ["known"], now=NOW - 1)
    account.sent(["shown"], repeated=True)
    account.sent(ids(0, CHUNK + 1))
    account.sent_malformed(malformed)
    account.sent(["known", "refused"])
    store(sqlite_engine, [*ids(0, CHUNK + 1), "shown"])
    with read(sqlite_engine) as connection:
        account.take_stored(connection)
    assert account.waiting() == ["refused", malformed.decode()]
    account.sent(["shown"])
    letters = [
        letter(b"\xff"),
        letter(malformed, NOW - 1),  # of an earlier run
        letter(json.dumps({"event_id": "refused", "more": 1}).encode()),
    ]
    with pytest.raises(NotAccounted, match=r"1 of 506 .*purchase"):
        settle(account, lambda: read(sqlite_engine), lambda: letters, seconds=0)
    settle(account, lambda: read(sqlite_engine), lambda: [letter(malformed)], seconds=0)
    assert (account.produced, account.stored, account.duplicate, account.dead) == (506, CHUNK + 2, 2, 2)


def test_what_is_stored_later_is_waited_for(sqlite_engine: Engine) -> None:
    account = Account(NOW)
    account.sent(["late"])

    def letters() -> list[DeadLetter]:
        store(sqlite_engine, ["late"])
        return []

    settle(account, lambda: read(sqlite_engine), letters, seconds=30)
    assert account.stored == 1
