"""When pages are written, and that a Redis that is away fails no pass."""

import json
import socket

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import event

from graphstore.redis.connection import open_redis
from graphstore.session import write
from graphstore.tables import items
from graphstore.upserts import ItemRow, upsert_items
from monitoring.dashboard.show import CATALOGUE_SECONDS, PACE_SECONDS, Dashboard
from monitoring.dashboard.surroundings import Surroundings
from serving.dashboard import catalogue
from serving.dashboard.store import PAGES, PREFIX, read_page
from stream.readiness import Readiness
from tests.monitoring.dashboard.conftest import NOON, Store, counts


class Timer:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def made(store: Store, redis: Redis, timer: Timer | None = None, **more: object) -> Dashboard:
    return Dashboard(store.engine, redis, timer=timer or Timer(), **more)  # type: ignore[arg-type]


def pages_counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("sagestream_dashboard_pages_total", {"outcome": outcome}) or 0.0


def test_every_page_of_the_menu_is_written_and_read_back(store: Store, redis: Redis) -> None:
    store.day(0, counts(100, 10, revenue={"EUR": 5.0}))
    before = pages_counted("written")
    away = Surroundings(looked_at=NOON, processes=(Readiness("worker", "w", 1, "away", said="nobody answers"),))
    assert sorted(made(store, redis, surroundings=lambda: away).show(now=NOON)) == sorted(PAGES)
    assert pages_counted("written") == before + len(PAGES)
    for name in PAGES:
        page = read_page(redis, name)
        assert page is not None and page.name == name and page.made_at == NOON and page.blocks
    overview = read_page(redis, "overview")
    assert overview is not None and overview.warnings == ["worker (w:1) is away: nobody answers"]


def test_a_page_is_written_at_its_own_pace(sqlite_store: Store, redis: Redis) -> None:
    timer = Timer()
    dashboard = made(sqlite_store, redis, timer)
    dashboard.show(now=NOON)
    timer.now += 5
    assert dashboard.show(now=NOON + 5_000) == []
    timer.now += 5
    assert sorted(dashboard.show(now=NOON + 10_000)) == ["operations", "overview"]
    timer.now += 60
    assert "traffic" in dashboard.show(now=NOON + 70_000)
    assert set(PACE_SECONDS) == set(PAGES)


def test_redis_that_is_away_fails_no_pass_and_is_met_again(
    sqlite_store: Store, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        away = open_redis(f"redis://127.0.0.1:{probe.getsockname()[1]}/0", timeout_seconds=0.2)
        dashboard = made(sqlite_store, away)
        before = pages_counted("failed")
        with caplog.at_level("WARNING"):
            assert dashboard.show(now=NOON) == []
            assert dashboard.show(now=NOON) == []
    assert pages_counted("failed") == before + 2
    assert len(caplog.records) == 1 and "wait for Redis" in caplog.text, "one line, not one each pass"
    away.connection_pool = redis.connection_pool
    assert sorted(dashboard.show(now=NOON)) == sorted(PAGES)


def test_the_catalogue_is_copied_when_it_changed(store: Store, redis: Redis) -> None:
    timer = Timer()
    dashboard = made(store, redis, timer)
    with write(store.engine) as connection:
        upsert_items(connection, [ItemRow(f"i{n}", f"hat {n}", [], "", 1.0, True, 5) for n in range(3)])
    dashboard.show(now=NOON)
    first = catalogue.current(redis)
    assert first is not None and first.items == first.total == 3
    timer.now += CATALOGUE_SECONDS
    dashboard.show(now=NOON)
    assert catalogue.current(redis) == first, "nothing changed"
    with write(store.engine) as connection:
        upsert_items(connection, [ItemRow("i1", "cap", [], "", None, False, 6)])
    timer.now += CATALOGUE_SECONDS
    dashboard.show(now=NOON)
    found = catalogue.search(redis, "cap", limit=5)
    assert found is not None and [(one.item_id, one.price, one.available) for one in found.entries] == [
        ("i1", None, False)
    ]
    redis.delete(catalogue.POINTER)
    timer.now += CATALOGUE_SECONDS
    dashboard.show(now=NOON)
    assert catalogue.current(redis) is not None, "Redis was flushed"


def test_a_page_set_reads_no_impression(sqlite_store: Store, redis: Redis) -> None:
    said: list[str] = []
    event.listen(sqlite_store.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    made(sqlite_store, redis).show(now=NOON)
    assert len(said) > 20
    for table in ("impressions", "seen_items", "attributions"):
        assert not [statement for statement in said if f" {table}" in statement], table
    assert items.name in " ".join(said)


def test_pages_are_json_without_numbers_that_json_lacks(sqlite_store: Store, redis: Redis) -> None:
    sqlite_store.day(0, counts(1, 1))
    made(sqlite_store, redis).show(now=NOON)
    for name in PAGES:
        raw = redis.get(PREFIX + name)
        assert isinstance(raw, bytes)
        json.loads(raw, parse_constant=lambda constant: pytest.fail(constant))


def test_a_fault_in_one_page_is_told_and_the_others_are_written(
    sqlite_store: Store, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {"kind": "graphsage", "status": "kept", "snapshot_id": "s", "bundle": "b", "created_at": 1, "gate": "{"}
    sqlite_store.put("models", {"model_version": "m1", **broken})
    timer = Timer()
    dashboard = made(sqlite_store, redis, timer)
    faulty = pages_counted("faulty")
    assert sorted(dashboard.show(now=NOON)) == sorted({*PAGES} - {"models"})
    assert "the page models of the dashboard could not be composed" in caplog.text and "JSONDecodeError" in caplog.text
    timer.now += 100
    assert "models" not in dashboard.show(now=NOON), "not at each pass"
    assert pages_counted("faulty") == faulty + 1
