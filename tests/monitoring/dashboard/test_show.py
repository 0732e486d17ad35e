"""When pages are written, and that a Redis that is away fails no pass."""

import json
import socket
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis import Redis
from sqlalchemy import event

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.item_fields import ItemRow
from graphstore.redis import hot
from graphstore.redis.connection import open_redis
from graphstore.session import write
from graphstore.tables import items
from graphstore.upserts import upsert_items
from monitoring.config import MonitoringConfig
from monitoring.dashboard.show import CATALOGUE_SECONDS, PACE_SECONDS, Dashboard
from monitoring.dashboard.surroundings import Surroundings
from monitoring.run import Monitor
from monitoring.windows import ALL
from serving.dashboard import catalogue
from serving.dashboard.blocks import Chart, Funnel, Rows, Tiles
from serving.dashboard.store import PAGES, PREFIX, read_page
from serving.experiments import Experiment, start
from serving.routing import Arm
from stream.readiness import Readiness
from tests.monitoring.dashboard.conftest import NOON, Store, counts, rows


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


def test_the_monitor_shows_the_reports_that_it_made_last(sqlite_store: Store, redis: Redis, tmp_path: Path) -> None:
    arms = (Arm("plain", 0.5), Arm("wide", 0.5))
    with write(sqlite_store.engine) as connection:
        start(connection, Experiment("wider", None, "s", arms, "me", "", NOON - 5_000))
    given = {"config": MonitoringConfig(), "state_dir": tmp_path, "redis": redis}
    assert Monitor(sqlite_store.engine, **given).show(now=NOON) == [], "without a dashboard"
    timer = Timer()
    monitor = Monitor(sqlite_store.engine, dashboard=made(sqlite_store, redis, timer), **given)
    assert sorted(monitor.show(now=NOON)) == sorted(PAGES)
    notes = [rows(page, "wider (running)").note for page in [read_page(redis, "experiments")] if page]
    monitor.check_experiments(now=NOON)
    timer.now += 60
    monitor.show(now=NOON + 60_000)
    notes += [rows(page, "wider (running)").note for page in [read_page(redis, "experiments")] if page]
    assert ["Not measured yet" in note for note in notes] == [True, False]
    monitor.close()


def test_every_figure_says_its_window_and_its_n(sqlite_store: Store, redis: Redis) -> None:
    for width in (sqlite_store.day, sqlite_store.hour):
        for segment in (ALL, "slot:home", "position:1", "source:model", "kind:graphsage", "model:m1"):
            width(0, counts(100, 10, orders=2, revenue={"EUR": 5.0}), segment)
            width(1, counts(100, 10, orders=2, revenue={"EUR": 5.0}), segment)
    given = {"kind": "graphsage", "snapshot_id": "s", "bundle": "b", "created_at": NOON - 5}
    sqlite_store.put("models", {"model_version": "m1", "status": "champion", **given})
    run = {"run_id": "r1", "kind": "graphsage", "trigger": "x", "status": "kept", "started_at": 1}
    sqlite_store.put("training_runs", run)
    sqlite_store.put("promotions", {"at": 5, "action": "promote", "to_version": "m1", "who": "me", "why": ""})
    with write(sqlite_store.engine) as connection:
        start(connection, Experiment("wider", None, "s", (Arm("a", 0.5), Arm("b", 0.5)), "me", "", NOON - 5_000))
        ingest_interactions(connection, [InteractionRow(f"e{n}", 0, "u", "i", NOON) for n in range(20)], now=NOON)
    hot.set_trending(redis, "24h", {"i": 20.0})
    made(sqlite_store, redis).show(now=NOON)
    figures = 0
    for name in PAGES:
        page = read_page(redis, name)
        assert page is not None
        for one in page.blocks:
            if isinstance(one, Chart) and one.lines:
                assert one.window and one.n is not None and one.n_of, (name, one.title)
                figures += 1
            if isinstance(one, Rows) and any(isinstance(cell, float | int) for row in one.rows for cell in row.cells):
                assert one.window, (name, one.title)
                figures += 1
            if isinstance(one, Funnel):
                assert one.window, (name, one.title)
            for tile in one.tiles if isinstance(one, Tiles) else []:
                if isinstance(tile.value, float):
                    assert tile.window, (name, tile.label)
                    assert tile.unit in ("count", "time") or (tile.n is not None and tile.n_of), (name, tile.label)
                    figures += 1
    assert figures > 30
