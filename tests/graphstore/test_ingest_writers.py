"""Several writers at a time on PostgreSQL: nobody waits for a new item, nor in a circle, and every count is right."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select

from graphstore.batch import execute_at_once
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.lookups import rows_with
from graphstore.session import read, write
from graphstore.tables import HOUR_MS, edges, interactions, item_buckets, items

NOW = 1_700_000_000_000

pytestmark = pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.service)])


def test_a_new_item_of_a_running_batch_is_no_lock(engine: Engine) -> None:
    with write(engine) as first:
        ingest_interactions(first, [InteractionRow("a", 0, "u", "new", NOW)], now=NOW)
        with write(engine) as second:
            second.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
            ingest_interactions(second, [InteractionRow("b", 0, "v", "new", NOW - HOUR_MS)], now=NOW)
    with read(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(items)) == 1
        assert connection.scalar(select(func.count()).select_from(edges)) == 2


def test_a_batch_of_forgotten_users_alone_counts_nothing_again(engine: Engine) -> None:
    with write(engine) as connection:
        ingest_interactions(connection, [InteractionRow("a", 1, "u", "i", NOW)], now=NOW)
        connection.exec_driver_sql("INSERT INTO erasures (user_id, requested_at) VALUES ('gone', 1)")
        done = ingest_interactions(connection, [InteractionRow("b", 1, "gone", "i", NOW)], now=NOW)
        assert (done.stored, done.duplicate, done.erased) == (0, 0, 1)
        assert connection.scalar(select(func.sum(edges.c.clicks))) == 1
        assert connection.scalar(select(func.sum(item_buckets.c.clicks))) == 1


def test_writers_of_the_same_users_and_items_end_and_count_right(engine: Engine) -> None:
    def store(writer: int) -> None:
        rng = random.Random(writer)
        for batch in range(12):
            rows = [
                InteractionRow(
                    f"{writer}-{batch}-{place}",
                    rng.randrange(7),
                    f"{rng.choice('uU')}{rng.randrange(40)}",
                    f"{rng.choice('iI')}{rng.randrange(60)}",
                    NOW - rng.randrange(5) * HOUR_MS,
                )
                for place in range(80)
            ]
            with write(engine) as connection:
                assert ingest_interactions(connection, rows, now=NOW).stored == 80

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(store, range(3)))
    with read(engine) as connection:
        assert connection.scalar(select(func.count()).select_from(interactions)) == 3 * 12 * 80
        for table in (edges, item_buckets):
            counted = sum(table.c[name] for name in ("views", "clicks", "carts", "purchases", "ratings"))
            everything = counted + table.c.returns + table.c.cancels
            assert connection.scalar(select(func.sum(everything))) == 3 * 12 * 80


def test_a_lookup_never_reads_the_whole_table(engine: Engine) -> None:
    scans = "SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relname = 'users'"
    with write(engine) as connection:
        names = [(f"u{number}",) for number in range(5_000)]
        execute_at_once(connection, "INSERT INTO users (user_id) {rows}", ("varchar",), names)
        connection.exec_driver_sql("ANALYZE users")
        before = connection.exec_driver_sql(scans).scalar()
        wanted = [f"u{number}" for number in range(4_000, 5_500)]
        assert {row[0] for row in rows_with(connection, "user_id", "users", "user_id", wanted)} == set(wanted[:1_000])
        assert len(rows_with(connection, "user_key, user_id", "users", "user_key", list(range(5_000)))) > 4_000
        assert connection.exec_driver_sql(scans).scalar() == before
