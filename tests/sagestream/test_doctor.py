"""What the doctor finds: real brokers, a database, and processes that say what they wait for."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from redis import Redis

from graphstore.ingest import record_progress
from graphstore.session import open_engine, write
from sagestream.doctor import Check, examine
from sagestream.playground.embedded import LOOPBACK, Broker, accepts, free_port, free_ports, sagestream_command
from sagestream.playground.processes import Child
from serving import cache
from serving.routing import ROUTING, Routing, encode, probation
from stream import events
from stream.config import PROBED_PROCESSES, StreamConfig
from stream.kafka.clients import open_consumer
from stream.kafka.producer import EventProducer
from stream.probe import FIRST_MODEL, OK, Probe, start_probe
from tests.brokers import stream_config_of
from tests.databases import migrated_sqlite
from tests.waiting import wait_until

START_SECONDS = 300.0
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w.]+: ")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing runs: ports that nobody listens on, an empty migrated database."""
    database = tmp_path / "graph.db"
    migrated_sqlite(database)
    given = {
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": f"redis://{LOOPBACK}:{free_port()}/0",
        "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{free_port()}",
        "PROBE_PORT": str(free_ports(len(PROBED_PROCESSES))),
        "SERVE_PORT": str(free_port()),
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SAGESTREAM_{name}", value)
    return database


def test_a_slots_file_is_read(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slots.toml"
    monkeypatch.setenv("SAGESTREAM_SLOTS_FILE", str(path))
    assert "cannot be read" in found()["slots file"].finding
    path.write_text("[basket]")
    check = found()["slots file"]
    assert (check.ok, str(path) in check.finding, "15 slots" in check.finding) == (True, True, True)


def found() -> dict[str, Check]:
    return {check.name: check for check in examine()}


def test_what_is_away_is_a_finding_each(settings: Path) -> None:
    checks = found()
    assert checks["database"].ok
    assert not any(checks[name].ok for name in ("redis", "kafka", "worker", "serve"))
    assert checks["worker"].finding.endswith("nobody answers: `sagestream worker` does not run")
    assert checks["redis"].finding.endswith("(Connection refused): start it, or set SAGESTREAM_REDIS_URL")
    assert checks["kafka"].finding.endswith("start it, or set SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS")
    assert not checks.keys() & {"settings", "training file"}


@pytest.mark.parametrize(
    ("policy", "share", "said"),
    [
        ("noeviction", 0.5, "raise maxmemory"),
        ("noeviction", 9.0, "serves nothing yet, "),
        ("allkeys-lru", 9.0, "set maxmemory-policy to noeviction, not allkeys-lru"),
    ],
)
def test_redis_says_when_its_memory_ends(
    settings: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch, policy: str, share: float, said: str
) -> None:
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", redis_url)
    before = redis.config_get("maxmemory*")
    redis.config_set("maxmemory", int(share * redis.info("memory")["used_memory"]))
    redis.config_set("maxmemory-policy", policy)
    try:
        check = found()["redis"]
    finally:
        for name in ("maxmemory", "maxmemory-policy"):
            redis.config_set(name, before[name])
    assert said in check.finding
    assert check.ok == (said == "serves nothing yet, ")


def test_redis_says_which_models_serve(
    settings: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", redis_url)
    assert found()["redis"].finding.startswith("serves nothing yet, ")
    kept = Routing((probation("m1", 0.1, salt="s"),), "m2")
    redis.mset({cache.CHAMPION: "m2", ROUTING: encode(kept)})
    assert found()["redis"].finding.startswith("serves m2 and, to some shoppers, m1, ")


def test_the_lag_of_every_topic_of_the_worker(settings: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    config = stream_config_of(broker)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    event = events.Identity(anonymous_id="a", user_id="u", event_time=events.utc(1_767_600_000_000))
    with EventProducer(config) as producer:
        for _ in range(30):
            producer.send(events.IDENTITIES, event, key="a")
    checks = found()
    assert checks["kafka identities"] == Check("kafka identities", True, "4 partitions, 30 messages behind")
    for topic in ("interactions", "impressions", "catalog", "users"):
        assert checks[f"kafka {topic}"] == Check(f"kafka {topic}", True, "4 partitions, 0 messages behind")

    engine = open_engine(f"sqlite:///{settings}")
    with write(engine) as connection:
        record_progress(connection, events.CATALOG, {1: 777}, now=1)
    engine.dispose()
    told = found()["kafka catalog"]
    assert not told.ok
    assert "0 messages behind; partition 1: stream_progress holds 777, beyond the log's end at 0" in told.finding


def test_lag_falls_with_what_the_group_commits(settings: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    config = stream_config_of(broker)
    for name, value in broker.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SAGESTREAM_WORKER_GROUP", "doctor")
    event = events.UserAttributes(user_id="u", event_time=events.utc(1_767_600_000_000))
    with EventProducer(config) as producer:
        sent = [producer.send(events.USERS, event, key="u") for _ in range(30)]
    (partition,) = {one.get(30).partition for one in sent}
    consumer = open_consumer(config, group_id="doctor", enable_auto_commit=False)
    consumer.assign([TopicPartition(events.USERS, partition)])
    consumer.commit({TopicPartition(events.USERS, partition): OffsetAndMetadata(21, "", -1)})
    consumer.close()
    engine = open_engine(f"sqlite:///{settings}")
    with write(engine) as connection:
        record_progress(connection, events.USERS, {partition: 21}, now=1)
    engine.dispose()
    assert found()["kafka users"] == Check("kafka users", True, "4 partitions, 9 messages behind")


@pytest.fixture
def worker(settings: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Probe, dict[str, str]]]:
    needs = {"stream": OK, "interactions": OK}
    probe = start_probe(0, lambda: needs)
    monkeypatch.setenv("SAGESTREAM_PROBE_PORT", str(probe.port))
    yield probe, needs
    probe.close()


def test_a_process_says_what_it_waits_for(worker: tuple[Probe, dict[str, str]]) -> None:
    probe, needs = worker
    assert found()["worker"] == Check("worker", True, f"port {probe.port}: stream ok, interactions ok")
    needs["interactions"] = "73 % of the last 1,000 messages are bad, stopped at partition 2 offset 1234: " + "x" * 300
    told = found()["worker"]
    assert told == Check("worker", False, f"port {probe.port}: not ready, interactions: {needs['interactions']}")


def test_processes_on_one_machine_answer_where_the_doctor_looks(
    settings: Path, broker: Broker, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One setting places all of them, next to each other. `redis` is empty: no model of another test is served."""
    for name, value in {**broker.environment, "SAGESTREAM_REDIS_URL": redis_url}.items():
        monkeypatch.setenv(name, value)
    first = StreamConfig().probe_port
    said = {"worker": "stream", "nearline": "model", "publisher": "published", "monitor": "database"}
    said["scheduler"] = "scheduler ok, settings ok"
    children = [Child(verb, sagestream_command(verb), tmp_path / f"{verb}.log") for verb in PROBED_PROCESSES]
    try:
        for child in children:
            child.start()
        for number, child in enumerate(children):
            child.wait_ready(lambda port=first + number: accepts(port), START_SECONDS)  # type: ignore[misc]
        wait_until(lambda: all(word in found()[verb].finding for verb, word in said.items()))  # each is who it seems
        checks = found()
    finally:
        for child in children:
            child.request_stop()
        for child in children:
            child.stop()
    for verb in PROBED_PROCESSES:  # and all write one kind of log
        lines = (tmp_path / f"{verb}.log").read_text().splitlines()
        told = [line for line in lines if re.match(r"[\[\d]", line)]  # others are of tracebacks
        assert told
        assert all(LOG_LINE.match(line) for line in told), told
    assert [checks[verb].finding.partition(":")[0] for verb in PROBED_PROCESSES] == [
        f"port {first + number}" for number in range(len(PROBED_PROCESSES))
    ]


def test_what_is_wrong_with_the_settings(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_PROBE_PORT", "0")
    monkeypatch.setenv("SAGESTREAM_LIST_LENGHT", "9")
    monkeypatch.setenv("SAGESTREAM_SCHEDULER_PORT", "9")
    monkeypatch.setenv("SAGESTREAM_TRAINING_CONFIG", str(tmp_path / "none.json"))
    checks = examine()
    slip, removed = [check for check in checks if check.name == "settings"]
    assert not (slip.ok or removed.ok)
    assert slip.finding == "SAGESTREAM_LIST_LENGHT is not a setting: did you mean SAGESTREAM_LIST_LENGTH?"
    assert removed.finding.startswith("SAGESTREAM_SCHEDULER_PORT is no longer read")
    by_name = {check.name: check for check in checks}
    assert by_name["monitor"] == Check("monitor", False, "SAGESTREAM_PROBE_PORT is 0: it may be on any port")
    assert not by_name["training file"].ok


def test_a_training_file(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tuned.json"
    monkeypatch.setenv("SAGESTREAM_TRAINING_CONFIG", str(file))
    file.write_text('{"sage": {"width": 3}}')
    assert "sage.width" in found()["training file"].finding
    file.write_text('{"sage": {"dim": 3}}')
    assert found()["training file"] == Check("training file", True, str(file))


def test_a_look_creates_nothing(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "later" / "graph.db"
    monkeypatch.setenv("SAGESTREAM_DATABASE_URL", f"sqlite:///{missing}")
    monkeypatch.setenv("SAGESTREAM_STATE_DIR", str(missing.parent))
    checks = found()
    assert checks["database"] == Check("database", False, f"there is no sqlite:///{missing}: run `sagestream init`")
    assert not checks["kafka"].ok
    assert not missing.parent.exists()


def test_processes_on_other_hosts(worker: tuple[Probe, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    probe, needs = worker
    monkeypatch.setenv("SAGESTREAM_DOCTOR_HOSTS", f"worker=localhost:{probe.port},worker=127.0.0.2:1")
    first, second = [check for check in examine() if check.name == "worker"]
    assert first == Check("worker", True, f"localhost:{probe.port}: stream ok, interactions ok")
    assert not second.ok
    assert second.finding.startswith("127.0.0.2:1: nobody answers")
    needs["stream"] = FIRST_MODEL
    assert next(check for check in examine() if check.name == "worker").ok
