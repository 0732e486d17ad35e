"""The scheduler with its real parts: a spawned child that trains, a killed leader, a broker that hears of it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis
from sqlalchemy import Engine, select

from graphstore.config import GraphstoreConfig
from graphstore.redis.asked import Asked, ask
from graphstore.session import now_ms, open_engine, read, write
from graphstore.tables import impressions, snapshots
from graphstore.upserts import ImpressionRow, insert_impressions
from stream.config import StreamConfig
from stream.events import MODELS
from stream.kafka.clients import open_consumer
from stream.liveness import Liveness
from stream.probe import OK
from tests.databases import migrated_sqlite
from tests.training import toy_shop
from tests.waiting import wait_until
from training.config import TrainingConfig
from training.config_file import WatchedConfig, save_config
from training.lifecycle import registry, requests, retrain
from training.lifecycle.health import TrainingHealth
from training.lifecycle.heartbeat import DEAD_SECONDS
from training.lifecycle.run import RunSpec, run_training
from training.lifecycle.scheduler import run_scheduler
from training.options import TrainingOptions

pytestmark = pytest.mark.kill

CONFIG = TrainingConfig(scheduler_tick_seconds=0.2, scheduler_stop_seconds=0, retrain_min_events=100)
DEADLINE_SECONDS = 180.0


def eventually(condition: Callable[[], object]) -> None:
    """A training may take its time on a busy machine."""
    wait_until(condition, seconds=DEADLINE_SECONDS)


@pytest.fixture
def graph(tmp_path: Path) -> GraphstoreConfig:
    return GraphstoreConfig(state_dir=tmp_path)


@pytest.fixture
def shop(graph: GraphstoreConfig) -> Iterator[Engine]:
    migrated_sqlite(graph.state_dir / "graph.db")
    engine = open_engine(graph.sqlalchemy_url)
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=10)
        registry.request_retrain(connection, reason="opening", requested_by="test", now=1)
    yield engine
    engine.dispose()


ENDLESS = CONFIG.model_copy(update={"sage": CONFIG.sage.model_copy(update={"max_steps": 1_000_000, "patience": 1_000})})
"""A training of GraphSAGE that cannot end by itself before it is killed or given up."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> registry.ModelRow:
    """A model of another shop like it."""
    other = tmp_path_factory.mktemp("elsewhere")
    twin = open_engine(migrated_sqlite(other / "graph.db"))
    with write(twin) as connection:
        toy_shop.open_shop(connection, days=8)
        closing = toy_shop.closing_time(connection)
    result = run_training(
        twin,
        RunSpec("closed_form", "test"),
        graph=GraphstoreConfig(state_dir=other),
        config=CONFIG,
        now=lambda: closing,
        options=TrainingOptions(seed=0),
    )
    with read(twin) as connection:
        row = registry.get_model(connection, result.model_version)
    twin.dispose()
    return row


@pytest.fixture
def veteran(shop: Engine, trained: registry.ModelRow) -> None:
    """A champion from before the scheduler, so that GraphSAGE is due."""
    with write(shop) as connection:
        row = registry.ModelRow(**{**vars(trained), "model_version": "m0", "status": registry.CANDIDATE})
        registry.register(connection, row)
        registry.promote(connection, "m0", now=2)


def runs(engine: Engine) -> list[registry.RunRow]:
    with read(engine) as connection:
        return registry.list_runs(connection, newest=10)


@contextmanager
def scheduling(
    graph: GraphstoreConfig,
    stream: StreamConfig,
    config: TrainingConfig = CONFIG,
    **more: Any,
) -> Iterator[WatchedConfig]:
    """A scheduler in a thread, and the configuration that it watches."""
    stop, watched = threading.Event(), WatchedConfig(config)
    thread = threading.Thread(target=run_scheduler, args=(graph, watched, stream, stop), kwargs=more)
    thread.start()
    try:
        yield watched
    finally:
        stop.set()
        thread.join()


def children() -> set[int]:
    """Spawned processes of this one; Python keeps a resource tracker beside them."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child.pid)
    return found


def request_of(engine: Engine) -> registry.RetrainRequest:
    """The first request."""
    with read(engine) as connection:
        return requests.get_request(connection, 1)


def test_a_request_becomes_a_champion_and_an_announcement(graph, shop, stream_config):
    health = TrainingHealth()
    with scheduling(graph, stream_config, health=health):
        eventually(lambda: [run.status for run in runs(shop)] == ["promoted"])
        consumer = open_consumer(stream_config, MODELS, auto_offset_reset="earliest")
        heard: list[bytes] = []

        def announced() -> bool:
            for records in consumer.poll(200).values():
                heard.extend(record.value for record in records)
            return any(b'"champion"' in value for value in heard)

        eventually(announced)
        consumer.close()
        with read(shop) as connection:
            champion = registry.champion(connection)
        eventually(lambda: request_of(shop).status == "answered")
        eventually(lambda: health.words()["last success"].startswith("closed_form"))
        eventually(lambda: not children())  # a process that has trained keeps its memory, so it ends with its run
        assert champion is not None
        assert any(champion.model_version.encode() in value for value in heard)
    assert health.state == OK
    assert runs(shop)[0].trigger == "test: opening"
    assert request_of(shop).outcome == f"promoted: {champion.model_version}"
    assert not children()


UNREACHABLE = StreamConfig(kafka_bootstrap_servers="127.0.0.1:9")

LEADER = """
import sys, threading
from pathlib import Path
from graphstore.config import GraphstoreConfig
from stream.config import StreamConfig
from training.config import TrainingConfig
from training.config_file import WatchedConfig
from training.lifecycle.scheduler import run_scheduler

if __name__ == "__main__":
    run_scheduler(
        GraphstoreConfig(state_dir=Path(sys.argv[1])),
        WatchedConfig(TrainingConfig.model_validate_json(sys.argv[2])),
        StreamConfig(kafka_bootstrap_servers="127.0.0.1:9"),
        threading.Event(),
    )
"""


def program(graph: GraphstoreConfig, code: str, config: TrainingConfig) -> "subprocess.Popen[bytes]":
    """Code in a process of its own."""
    file = graph.state_dir / "program.py"
    file.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [sys.executable, str(file), str(graph.state_dir), config.model_dump_json()], env=environment
    )


def leading(graph: GraphstoreConfig, config: TrainingConfig) -> "subprocess.Popen[bytes]":
    """A scheduler in a process of its own."""
    return program(graph, LEADER, config)


def test_a_killed_leader_leaves_no_orphan_and_its_run_is_taken_again(graph, shop, veteran):
    with leading(graph, ENDLESS) as leader:
        eventually(lambda: [run.status for run in runs(shop)] == ["running"])
        family = psutil.Process(leader.pid)
        eventually(lambda: any("spawn_main" in " ".join(child.cmdline()) for child in family.children()))
        orphans = family.children(recursive=True)
        leader.send_signal(signal.SIGKILL)
        leader.wait()
    psutil.wait_procs(orphans, timeout=DEADLINE_SECONDS)
    assert not any(orphan.is_running() for orphan in orphans)
    with read(shop) as connection:
        assert requests.waiting_requests(connection) == []  # still with the dead run
    quick = CONFIG.model_copy(
        update={"sage": CONFIG.sage.model_copy(update={"max_steps": 10, "dim": 8, "batch_size": 64})}
    )
    with scheduling(graph, UNREACHABLE, quick):
        eventually(lambda: [run.status for run in runs(shop)][1:] == ["failed"] and runs(shop)[0].status != "running")
    second, first = runs(shop)
    assert first.error == "the process ended before the run did"
    assert second.status in {"promoted", "kept"}
    assert second.trigger.startswith("test: opening")


def test_a_killed_fit_is_gone_on_with_by_the_next_leader(graph, shop, veteran, caplog, capfd):
    caplog.set_level("INFO")  # the child takes the level over
    sage = {"max_steps": 300, "patience": 1_000, "evaluate_every": 5, "dim": 8, "batch_size": 64}
    config = CONFIG.model_copy(update={"sage": CONFIG.sage.model_copy(update=sage)})
    checkpoints = graph.state_dir / "checkpoints"
    with leading(graph, config) as leader:
        eventually(lambda: list(checkpoints.glob("s*.pt")))
        leader.send_signal(signal.SIGKILL)
        leader.wait()
    (unfinished,) = (path.name.partition(".")[0] for path in checkpoints.glob("s*.pt"))
    with scheduling(graph, UNREACHABLE, config):
        eventually(lambda: runs(shop)[0].status in {"promoted", "kept"})
    second, first = runs(shop)
    assert first.status == "failed"
    assert second.snapshot_id == unfinished
    assert "goes on from step" in capfd.readouterr().err  # from its beginning, it would come to the same weights
    assert not list(checkpoints.glob("*.pt"))


def kill_children(number: signal.Signals = signal.SIGKILL) -> None:
    for child in children():
        os.kill(child, number)


def test_a_training_killed_in_a_step_is_tried_again_and_a_stop_gives_it_up(graph, shop, veteran):
    """It ends at once, the run is closed and its request waits for the next leader."""
    stop = threading.Event()
    config = WatchedConfig(
        ENDLESS.model_copy(update={"sage": ENDLESS.sage.model_copy(update={"evaluate_every": 5, "dim": 8})})
    )
    thread = threading.Thread(target=run_scheduler, args=(graph, config, UNREACHABLE, stop))
    thread.start()
    eventually(lambda: [run.status for run in runs(shop)] == ["running"])
    eventually(lambda: list((graph.state_dir / "checkpoints").glob("s*.pt")))
    kill_children()
    eventually(lambda: [run.status for run in runs(shop)] == ["running", "failed"])
    eventually(children)
    stop.set()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert not children()
    assert [run.status for run in runs(shop)] == ["failed", "failed"]
    assert "by SIGKILL: out of memory?" in (runs(shop)[1].error or "")
    assert request_of(shop).status == "waiting"


@pytest.mark.parametrize("moment", ["in its imports", "with its bundle written"])
def test_a_training_killed_early_or_late_is_followed_by_another(graph, shop, moment):
    def seen(what: str) -> bool:
        with read(shop) as connection:
            return bool(connection.scalar(select(snapshots.c.snapshot_id))) if what == "snapshot" else bool(children())

    with scheduling(graph, UNREACHABLE):
        if moment == "in its imports":
            eventually(lambda: seen("child"))
            kill_children()
        else:
            eventually(lambda: seen("snapshot"))
            with write(shop):  # so that the run cannot be recorded
                eventually(lambda: list((graph.state_dir / "models").glob("m*")))
                kill_children()
        eventually(lambda: [run.status for run in runs(shop)] == ["promoted", "failed"])
        eventually(lambda: request_of(shop).status == "answered")
    with read(shop) as connection:
        assert len(registry.list_models(connection)) == 1


def test_a_training_that_falls_silent_is_killed(graph, shop, veteran, caplog):
    ahead_ms = 0
    with scheduling(graph, UNREACHABLE, ENDLESS, now=lambda: now_ms() + ahead_ms):
        eventually(children)
        kill_children(signal.SIGSTOP)
        ahead_ms = int(DEAD_SECONDS * 1000) + 1_000
        eventually(lambda: [run.status for run in runs(shop)] == ["failed"])
        eventually(lambda: not children())
    assert "is silent: its process is killed" in caplog.text
    assert request_of(shop).status == "waiting"


TRAINER = """
import sys
from pathlib import Path
from graphstore.config import GraphstoreConfig
from graphstore.session import now_ms, open_engine
from training.config import TrainingConfig
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

if __name__ == "__main__":
    graph = GraphstoreConfig(state_dir=Path(sys.argv[1]))
    run_training(
        open_engine(graph.sqlalchemy_url),
        RunSpec("graphsage", "command line"),
        graph=graph,
        config=TrainingConfig.model_validate_json(sys.argv[2]),
        now=now_ms,
        options=TrainingOptions(seed=0),
    )
"""


def test_a_training_of_somebody_else_is_left_alone_until_it_is_dead(graph, shop):
    with program(graph, TRAINER, ENDLESS) as trainer:
        eventually(lambda: [run.status for run in runs(shop)] == ["running"])
        with scheduling(graph, UNREACHABLE):
            eventually(lambda: request_of(shop).status == "answered")
        assert [run.status for run in runs(shop)] == ["promoted", "running"]
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    later = int(DEAD_SECONDS * 1000) + 1_000
    with scheduling(graph, UNREACHABLE, now=lambda: now_ms() + later):
        eventually(lambda: [run.status for run in runs(shop)] == ["promoted", "failed"])
    assert runs(shop)[1].error == "the process ended before the run did"


def trained_with(graph: GraphstoreConfig, engine: Engine) -> list[dict[str, Any]]:
    """The configuration of each model, oldest first, as its bundle keeps it."""
    with read(engine) as connection:
        bundles = [Path(row.bundle) for row in registry.list_models(connection)]
    return [json.loads((bundle / "config.json").read_text())["training"] for bundle in bundles]


def test_each_run_takes_the_training_file_as_it_is_then(graph, shop):
    """A wrong one keeps runs from beginning, and the probe says why; mended, it counts for the next run."""
    file = graph.state_dir / "tuned.json"
    save_config(file, {"evaluation_users": 17})
    config = CONFIG.model_copy(update={"training_config": file})
    with scheduling(graph, UNREACHABLE, config) as watched:
        eventually(lambda: [run.status for run in runs(shop)] == ["promoted"])
        assert watched.problem is None
        file.write_text('{"evaluation_users": 0}')
        eventually(lambda: "evaluation_users" in (watched.problem or ""))
        with write(shop) as connection:
            toy_shop.trade(connection, first_day=10, days=1)
            registry.request_retrain(connection, reason="more", requested_by="test", now=2)
        with read(shop) as connection:
            assert retrain.plan(connection, CONFIG, now=now_ms()).kind == "graphsage"
        save_config(file, {"evaluation_users": 19, "sage": {"max_steps": 5, "dim": 8}})
        eventually(lambda: [run.status for run in runs(shop)][1:] == ["promoted"] and runs(shop)[0].finished_at)
    first, second = trained_with(graph, shop)
    assert (first["evaluation_users"], first["sage"]["max_steps"]) == (17, 600)
    assert (second["evaluation_users"], second["sage"]["max_steps"], second["sage"]["dim"]) == (19, 5, 8)
    assert second["retrain_min_events"] == 100


class Beats(Liveness):
    """Counts the beats."""

    count = 0

    def beat(self, doing: str = "working", *, within_seconds: float = 0.0) -> None:
        self.count += 1
        super().beat(doing, within_seconds=within_seconds)


def test_a_second_scheduler_waits_and_both_make_progress(graph, shop, caplog):
    caplog.set_level("INFO", "training.lifecycle.leader")
    leader, standby = Beats(), Beats()
    with scheduling(graph, UNREACHABLE, liveness=leader):
        eventually(lambda: (graph.state_dir / "scheduler.lock").exists())
        eventually(lambda: runs(shop))
        with scheduling(graph, UNREACHABLE, liveness=standby):
            eventually(lambda: "another scheduler leads" in caplog.text)  # it does nothing that could be seen
            eventually(lambda: standby.count > 2)
            eventually(lambda: leader.count > 2)
        eventually(lambda: [run.status for run in runs(shop)] == ["promoted"])
    assert len(runs(shop)) == 1


def test_a_request_by_http_comes_to_the_scheduler_that_leads(
    graph: GraphstoreConfig, kafka_away: StreamConfig, redis: Redis, redis_url: str
) -> None:
    migrated_sqlite(graph.state_dir / "graph.db")
    engine = open_engine(graph.sqlalchemy_url)
    ask(redis, Asked(requested_by="api", reason="season", asked_at=5))

    def waiting() -> list[str]:
        with read(engine) as connection:
            return [request.reason for request in requests.waiting_requests(connection)]

    with scheduling(graph.model_copy(update={"redis_url": redis_url}), kafka_away):
        eventually(lambda: waiting() == ["season"])
    assert runs(engine) == []  # nothing is new
    engine.dispose()


def test_old_lists_are_deleted_without_any_setting(graph: GraphstoreConfig, kafka_away: StreamConfig) -> None:
    migrated_sqlite(graph.state_dir / "graph.db")
    engine = open_engine(graph.sqlalchemy_url)

    def left() -> int:
        with read(engine) as connection:
            return len(list(connection.execute(select(impressions))))

    with write(engine) as connection:
        shown = ImpressionRow("r", 0, "u", "i", "home", 1, "m1", "champion", 1.0, 1.0, "batch")
        insert_impressions(connection, [shown])
    assert left() == 1
    with scheduling(graph, kafka_away):
        eventually(lambda: left() == 0)
    engine.dispose()
