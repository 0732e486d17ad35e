"""Compaction keeps the newest of each kind and every count; what arrives late is refused, not counted twice."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, insert, select

from graphstore import retention
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.retention import (
    DAILY_FIGURE_DAYS,
    FIGURE_DAYS,
    IMPRESSION_DAYS,
    Compacted,
    Expired,
    compact,
    expire,
    horizon,
    prune_snapshots,
)
from graphstore.session import read, write
from graphstore.tables import attributions, edges, impressions, interactions, item_buckets, metric_windows
from graphstore.upserts import ImpressionRow, insert_impressions

DAY = 86_400_000


def store(engine: Engine, rows: list[InteractionRow]) -> None:
    with write(engine) as connection:
        ingest_interactions(connection, rows, now=1)


def names(engine: Engine) -> set[str]:
    with read(engine) as connection:
        return set(connection.scalars(select(interactions.c.event_id)))


def counters(engine: Engine) -> list[Any]:
    with read(engine) as connection:
        return [sorted(map(tuple, connection.execute(select(table)))) for table in (edges, item_buckets)]


def test_the_newest_of_each_kind_stays_and_counters_do_not_change(engine: Engine) -> None:
    store(
        engine,
        [
            InteractionRow("old view", 0, "u", "i", 1 * DAY),
            InteractionRow("newest old view", 0, "u", "i", 2 * DAY),
            InteractionRow("old purchase", 3, "u", "i", 1 * DAY),
            InteractionRow("old purchase of another", 3, "v", "i", 1 * DAY),
            InteractionRow("new view", 0, "u", "i", 9 * DAY),
            InteractionRow("at the horizon", 0, "u", "i", 5 * DAY),
            InteractionRow("bought", 3, "w", "j", 1 * DAY),
            InteractionRow("bought again", 3, "w", "j", 2 * DAY),
            InteractionRow("returned", 5, "w", "j", 3 * DAY),
        ],
    )
    before = counters(engine)
    done = compact(engine, before=5 * DAY)
    assert done == Compacted(interactions=1, impressions=0, attributions=0)
    assert "old view" not in names(engine)
    assert len(names(engine)) == 8
    assert counters(engine) == before
    assert compact(engine, before=5 * DAY).interactions == 0


def test_a_random_world_keeps_one_row_a_pair_and_kind(engine: Engine) -> None:
    rng = random.Random(3)
    rows = [
        InteractionRow(str(n), rng.randrange(5), f"u{rng.randrange(450)}", f"i{rng.randrange(4)}", rng.randrange(99))
        for n in range(3000)
    ]
    store(engine, rows)
    seen = []
    compact(engine, before=60, progress=lambda done, total: seen.append((done, total)))
    newest: dict[tuple[str, str, int], InteractionRow] = {}
    for row in rows:  # ties go to the later row, as keys do
        pair = (row.user_id, row.item_id, row.event_type)
        if row.event_time < 60 and (pair not in newest or row.event_time >= newest[pair].event_time):
            newest[pair] = row
    kept = {row.event_id for row in rows if row.event_time >= 60} | {row.event_id for row in newest.values()}
    assert names(engine) == kept
    assert len(seen) > 1
    assert seen[-1][0] == seen[-1][1]


def test_no_transaction_deletes_more_rows_than_its_bound(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 50)
    store(engine, [InteractionRow(f"robot {n}", 0, "robot", "i", n) for n in range(420)])
    store(engine, [InteractionRow(f"other {n}", 1, "u", f"i{n % 3}", n) for n in range(33)])
    deleted = [0]

    def count(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        if "DELETE FROM interactions" in statement:
            deleted[-1] += cursor.rowcount

    event.listen(engine, "after_cursor_execute", count)
    event.listen(engine, "commit", lambda _: deleted.append(0))
    assert compact(engine, before=1_000).interactions == sum(deleted) == 419 + 30
    assert max(deleted) == 50
    assert names(engine) == {"robot 419", "other 30", "other 31", "other 32"}


def test_a_return_that_arrives_meanwhile_keeps_the_purchases(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    store(engine, [InteractionRow(f"bought {n}", 3, "u", "i", n) for n in range(3)])

    @contextmanager
    def returned_after(found: Engine) -> Iterator[Connection]:
        with read(found) as connection:
            yield connection
        store(found, [InteractionRow("returned", 5, "u", "i", 2_000)])

    monkeypatch.setattr(retention, "read", returned_after)
    assert compact(engine, before=1_000).interactions == 0
    assert len(names(engine)) == 4


def test_what_arrives_late_is_refused_and_the_horizon_never_moves_back(engine: Engine) -> None:
    store(engine, [InteractionRow("a", 0, "u", "i", 10), InteractionRow("b", 0, "u", "i", 20)])
    compact(engine, before=50)
    before = counters(engine)
    with write(engine) as connection:
        rows = [InteractionRow("a", 0, "u", "i", 10), InteractionRow("b", 0, "u", "i", 20)]
        done = ingest_interactions(connection, rows, now=1)
    assert (done.stored, done.duplicate, done.late) == (0, 1, frozenset({"a"}))
    assert counters(engine) == before
    compact(engine, before=30)
    assert horizon(engine) == 50


def test_old_lists_go_in_portions(engine: Engine, monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 3)
    rows = [
        ImpressionRow(f"r{n}", 0, "u", "i", "home", n * DAY, "m1", "champion", 0.5, 1.0, "batch") for n in range(10)
    ]
    with write(engine) as connection:
        insert_impressions(connection, rows)
    assert compact(engine, before=7 * DAY).impressions == 7
    with read(engine) as connection:
        assert set(connection.scalars(select(impressions.c.request_id))) == {"r7", "r8", "r9"}


def test_only_the_newest_snapshots_are_kept(tmp_path: Path) -> None:
    for name in ("s0000000000100-1", "s0000000000200-2", "s0000000000300-1", ".s0000000000300-1.half", ".s4.fresh"):
        (tmp_path / name).mkdir()
    long_ago = time.time() - 10 * 86_400
    os.utime(tmp_path / ".s0000000000300-1.half", (long_ago, long_ago))
    assert prune_snapshots(tmp_path, keep=2) == ["s0000000000100-1", ".s0000000000300-1.half"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s4.fresh", "s0000000000200-2", "s0000000000300-1"]
    assert prune_snapshots(tmp_path / "nowhere", keep=2) == []


def test_old_lists_and_figures_are_deleted_by_default_and_events_stay(engine: Engine, monkeypatch: Any) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 2)  # several transactions
    now = 1_000 * DAY
    ages = {"new": now - (IMPRESSION_DAYS - 1) * DAY, "old": now - (IMPRESSION_DAYS + 1) * DAY}
    store(engine, [InteractionRow(name, 0, "u", "i", time) for name, time in ages.items()])
    with write(engine) as connection:
        for name, time in ages.items():
            rows = [
                ImpressionRow(name, place, "u", "i", "home", time, "m1", "champion", 1.0, 1.0, "batch")
                for place in range(3)
            ]
            insert_impressions(connection, rows)
            match = {"event_id": name, "request_id": name, "position": 0, "event_type": 1, "event_time": time}
            connection.execute(insert(attributions).values(match))
        for days in (FIGURE_DAYS - 1, FIGURE_DAYS + 1):
            end = now - days * DAY
            row = {"metric": "ctr", "segment": "all", "window_start": end - 1, "window_end": end}
            connection.execute(insert(metric_windows).values(row))
    assert expire(engine, now=now) == Expired(impressions=3, attributions=1, figures=1)
    assert expire(engine, now=now) == Expired(0, 0, 0)
    with read(engine) as connection:
        assert set(connection.scalars(select(impressions.c.request_id))) == {"new"}
        assert list(connection.scalars(select(attributions.c.event_id))) == ["new"]
        assert len(list(connection.execute(select(metric_windows)))) == 1
    assert names(engine) == {"new", "old"}


def test_the_days_of_the_whole_shop_stay_for_three_years(engine: Engine) -> None:
    now = 5_000 * DAY
    ages = {"all": (FIGURE_DAYS + 1, DAILY_FIGURE_DAYS - 1, DAILY_FIGURE_DAYS + 1), "slot:home": (FIGURE_DAYS + 1,)}
    with write(engine) as connection:
        for segment, days in ages.items():
            for ago in days:
                end = now - ago * DAY
                row = {"metric": "ctr", "segment": segment, "window_start": end - DAY, "window_end": end}
                connection.execute(insert(metric_windows).values(row))
    assert expire(engine, now=now).figures == 2
    with read(engine) as connection:
        ends = sorted(connection.scalars(select(metric_windows.c.window_end)))
    assert ends == [now - (DAILY_FIGURE_DAYS - 1) * DAY, now - (FIGURE_DAYS + 1) * DAY]
