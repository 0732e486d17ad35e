"""`replay`: from the SQL log and from files, onto Kafka and straight into a graph."""

import fcntl
import gzip
import json
import random
import signal
import sys
import termios
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.session import open_engine
from sagestream.playground.embedded import Broker
from stream import events
from stream.events import EventType, Interaction
from stream.routes import ROUTES
from stream.worker.sink import Sink
from tests.brokers import stream_config_of
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import broker_settings, pipe, run, start
from tests.stream.pump import Pump
from tests.stream.worlds import NOW, TIME, hot_content, live, random_events, tables
from tests.waiting import wait_until


def lines(count: int) -> list[bytes]:
    return [
        events.encode(
            Interaction(
                event_id=f"e{number}",
                event_type=EventType.CLICK,
                user_id=f"u{number % 3}",
                item_id=f"i{number % 5}",
                event_time=TIME + timedelta(hours=number),
            )
        )
        for number in range(count)
    ]


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def graph_of(settings: dict[str, str]) -> Engine:
    return open_engine(f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}")


@pytest.fixture
def shop(engine: Engine, redis: Redis) -> Engine:
    """A store with a history of every kind."""
    rng = random.Random(11)
    live(Sink(engine, redis, recent_items=200, trending_items=200), random_events(rng, 200), rng)
    return engine


def test_from_a_database_straight_into_an_empty_one(shop: Engine, settings: dict[str, str], redis: Redis) -> None:
    expected, expected_hot = tables(shop), hot_content(redis)
    redis.flushall()
    words = ("replay", "--from-database", url_of(shop), "--direct", "--json")
    done = run(*words, settings=settings)
    assert (done.code, done.error) == (0, None)
    again = graph_of(settings)
    assert tables(again) == expected
    again.dispose()
    hot = hot_content(redis)
    for content in (hot, expected_hot):  # trending depends on the wall clock
        for key in [key for key in content if key.startswith("trending:")]:
            del content[key]
    assert hot == expected_hot
    told = done.json
    assert told["stored"] == told["interactions"] == len(expected["interactions"])
    assert told["read"] == sum(told[route.topic] for route in ROUTES.values())
    assert (told["to"], told["duplicate"], told["interrupted"]) == ("database", 0, False)
    assert run(*words, settings=settings).json["duplicate"] == told["stored"]


def test_onto_kafka_and_through_the_worker_into_an_empty_database(
    broker: Broker, sqlite_engine: Engine, settings: dict[str, str], redis: Redis, tmp_path: Path
) -> None:
    """The configured database is the source."""
    rng = random.Random(12)
    live(Sink(sqlite_engine, redis, recent_items=5, trending_items=5), random_events(rng, 200), rng)
    expected, expected_hot = tables(sqlite_engine), hot_content(redis)
    redis.flushall()
    reach = {**settings, **broker_settings(broker), "DATABASE_URL": url_of(sqlite_engine)}
    done = run("replay", "--json", settings=reach)
    assert (done.code, done.error) == (0, None)
    assert done.json["to"] == "kafka"

    again = open_engine(migrated_sqlite(tmp_path / "again.db"))
    pump = Pump(stream_config_of(broker), again, redis, now=events.utc(NOW), group="replayed")
    assert pump.take(done.json["read"]) == done.json["read"]
    pump.close()
    Sink(again, redis, recent_items=5, trending_items=5).refresh_trending(now=NOW)
    assert tables(again) == expected
    assert hot_content(redis) == expected_hot
    again.dispose()


def test_a_database_is_not_replayed_into_itself(sqlite_engine: Engine, settings: dict[str, str]) -> None:
    here = {**settings, "DATABASE_URL": url_of(sqlite_engine)}
    for words in (("replay", "--direct"), ("replay", "--direct", "--from-database", url_of(sqlite_engine))):
        done = run(*words, settings=here)
        assert done.code == 2
        assert "in this very database" in done.err


def test_wrong_words(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"")
    for words, code, said in (
        (("replay", "--file", str(file), "--from-database", "sqlite:///x.db"), 2, "not from both"),
        (("replay", "--file", str(file), "--from", "yesterday"), 2, "neither a time"),
        (("replay", "--rate", "-1"), 2, "rate"),
        (("replay", "--file", str(tmp_path / "nowhere.jsonl"), "--direct"), 1, "nowhere.jsonl"),
        (("replay", "--from-database", f"sqlite:///{tmp_path / 'typo.db'}", "--direct"), 1, "no database at"),
        (("replay", "--from-database", "mysql://shop", "--direct"), 1, "not supported"),
    ):
        done = run(*words, settings=settings)
        assert done.code == code, words
        assert said in done.err + str(done.error), words
    assert not (tmp_path / "typo.db").exists()


@pytest.mark.parametrize("way", ["file", "gzip", "input", "gzip input"])
def test_a_file_straight_into_the_graph_and_its_bad_lines_by_number(
    way: str, settings: dict[str, str], tmp_path: Path
) -> None:
    good = lines(6)
    long = b'{"event_id": "' + b"x" * (3 * events.MAX_EVENT_BYTES) + b'"}'
    bad = [b"nonsense", b'{"\\u001b[31mred": 1}', long]
    content = b"\xef\xbb\xbf" + b"\r\n".join([good[0], b"", bad[0], good[1], bad[1], bad[2], *good[2:]])
    if way.startswith("gzip"):
        content = gzip.compress(content)
    words = ("replay", "--direct", "--json", "--file")
    if way.endswith("input"):
        done = pipe(content, *words, "-", settings=settings)
    else:
        file = tmp_path / "history"
        file.write_bytes(content)
        done = run(*words, str(file), settings=settings)
        again = run(*words, str(file), settings=settings)
        assert (again.json["stored"], again.json["duplicate"]) == (0, 6)
    assert done.code == 1
    told = done.json
    assert (told["read"], told["stored"], told["rejected"]) == (6, 6, 3)
    shown = done.err.splitlines()
    assert [line.partition(":")[0] for line in shown if line.startswith("line")] == ["line 3", "line 5", "line 6"]
    assert "\x1b[31mred" not in done.err
    assert "\\x1b[31mred" in done.err
    assert "over the bound" in done.err


def test_a_damaged_file_says_up_to_where_it_was_read(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(gzip.compress(b"\n".join(lines(500)))[:-30])
    done = run("replay", "--file", str(file), "--direct", settings=settings)
    assert done.code == 1
    assert "damaged after line" in str(done.error)


def test_a_period_and_a_shopper_of_a_file(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"\n".join(lines(12)))
    start, end = (TIME + timedelta(hours=hours) for hours in (3, 9))
    words = ("replay", "--file", str(file), "--direct", "--json", "--from", f"{start:%Y-%m-%dT%H:%M}")
    assert run(*words, "--to", end.isoformat(), "--user", "u1", settings=settings).json["read"] == 2
    assert run(*words, settings=settings).json["read"] == 9


@pytest.mark.kill
def test_interrupted_it_says_how_far_it_came_and_is_taken_up_again(
    sqlite_engine: Engine, settings: dict[str, str], redis: Redis
) -> None:
    rng = random.Random(13)
    live(Sink(sqlite_engine, None, recent_items=5, trending_items=5), random_events(rng, 300), rng)
    words = ("replay", "--from-database", url_of(sqlite_engine), "--direct", "--json")
    process = start(*words, "--rate", "40", settings=settings)
    again = graph_of(settings)
    try:
        wait_until(lambda: (Path(str(again.url.database)).exists() and _has_items(again)) or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    told = json.loads(out)
    assert told["interrupted"]
    assert 0 < told["read"] < 300
    assert f"interrupted after {told['read']} events" in err
    assert "Traceback" not in err
    assert tables(again) != tables(sqlite_engine)
    assert run(*words, settings=settings).code == 0
    assert tables(again) == tables(sqlite_engine)
    again.dispose()


def _has_items(engine: Engine) -> bool:
    from sqlalchemy.exc import OperationalError

    try:
        return bool(tables(engine)["items"])
    except OperationalError:  # the schema is being made
        return False


def unread(pipe: int) -> int:
    """Bytes in a pipe that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


@pytest.mark.kill
def test_a_quiet_standard_input_can_be_interrupted(settings: dict[str, str]) -> None:
    process = start("replay", "--file", "-", "--direct", "--json", settings=settings)
    assert process.stdin is not None
    process.stdin.write(lines(1)[0].decode() + "\n")
    process.stdin.flush()
    graph = graph_of(settings)
    try:
        wait_until(lambda: Path(str(graph.url.database)).exists())
        stdin = process.stdin.fileno()
        wait_until(lambda: not unread(stdin))
        # It has the line, and asks for the next one.
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stdout is not None
        assert json.loads(process.stdout.read())["read"] == 1
    finally:
        process.kill()
        process.communicate()
    assert len(tables(graph)["interactions"]) == 1
    graph.dispose()


def test_a_compacted_log_is_told(sqlite_engine: Engine, settings: dict[str, str], tmp_path: Path) -> None:
    from graphstore.session import write
    from graphstore.state import raise_to
    from graphstore.tables import COMPACTION_HORIZON

    with write(sqlite_engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, NOW)
    done = run("replay", "--from-database", url_of(sqlite_engine), "--direct", settings=settings)
    assert done.code == 0
    assert "the log was compacted" in done.err
    file = tmp_path / "old.jsonl"
    file.write_bytes(lines(1)[0])
    here = {**settings, "DATABASE_URL": url_of(sqlite_engine)}
    late = run("replay", "--file", str(file), "--direct", "--json", settings=here)
    assert late.json["late"] == 1
    assert "older than the compaction" in late.err
