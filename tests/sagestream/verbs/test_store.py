"""The verbs `forget` and `cache rebuild` on real parts: words, exit codes, what is printed."""

import json
import os
from pathlib import Path

import pytest
from redis import Redis

from graphstore.redis.rebuild import LOCK
from sagestream.playground.embedded import LOOPBACK, free_port
from tests.sagestream.verbs.commands import sagestream


@pytest.fixture
def settings(tmp_path: Path, redis: Redis, redis_url: str) -> dict[str, str]:
    """A graph of three shoppers, and nobody at Kafka's address."""
    path = tmp_path / "shop.csv"
    path.write_text("user,item,timestamp\n" + "".join(f"u{n % 3},i{n},{1_700_000_000 + n}\n" for n in range(30)))
    nobody = f"{LOOPBACK}:{free_port()}"
    given = {"STATE_DIR": str(tmp_path / "state"), "REDIS_URL": redis_url, "KAFKA_BOOTSTRAP_SERVERS": nobody}
    done = sagestream("import", str(path), "--direct", settings=given)
    assert done.returncode == 0, done.stderr
    return given


def test_forget_prints_a_receipt_and_can_be_run_again(settings: dict[str, str], redis: Redis) -> None:
    done = sagestream("forget", "u1", "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout)
    assert receipt["user_id"] == "u1"
    assert receipt["completed_at"] >= receipt["requested_at"]
    assert receipt["receipt"]["sql"]["interactions"] == 10
    assert receipt["receipt"]["redis"]["remembered"] == 3
    assert not redis.exists("recent:u1", "seen:u1")
    again = sagestream("forget", "u1", settings=settings)
    assert again.returncode == 0, again.stderr
    assert "interactions 10" in again.stdout
    assert "bundles: none hold user rows" in again.stdout
    (listed,) = json.loads(sagestream("forget", "--list", "--json", settings=settings).stdout)
    assert listed == receipt
    assert "u1" in sagestream("forget", "--list", settings=settings).stdout


def test_without_redis_it_is_said_that_something_is_left_to_do(settings: dict[str, str], redis: Redis) -> None:
    assert sagestream("preprocess", settings=settings).returncode == 0
    away = {**settings, "REDIS_URL": f"redis://{LOOPBACK}:{free_port()}/0"}
    done = sagestream("forget", "u1", settings=away)
    assert done.returncode == 1
    told = done.stderr.splitlines()
    assert told[0].startswith("no Redis at ")
    assert told[1].startswith("what Redis holds of this person (lists, recent items) stays until you run this again")
    assert told[2].startswith("no Kafka at ")
    assert told[3].startswith("what Kafka holds of this person (attributes, raw events) stays as long as")
    assert told[4:] == ["the erasure is not complete: run the same command again"]
    assert "snapshots: rewritten 1" in done.stdout  # the rest is done
    assert "no: run it again" in sagestream("forget", "--list", settings=settings).stdout
    assert redis.exists("recent:u1")
    assert sagestream("forget", "u1", settings=settings).returncode == 0
    assert not redis.exists("recent:u1")
    assert "no: run it again" not in sagestream("forget", "--list", settings=settings).stdout


@pytest.mark.parametrize(("answer", "words", "code"), [("n", (), 1), ("y", (), 0), ("", ("--yes",), 0)])
def test_on_a_terminal_it_asks_first(
    settings: dict[str, str], redis: Redis, answer: str, words: tuple[str, ...], code: int
) -> None:
    ours, theirs = os.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = sagestream("forget", "u1", *words, settings=settings, terminal=theirs)
    os.close(ours)
    assert done.returncode == code, done.stderr
    assert ("Forget u1, 10 interactions?" in done.stderr) == (not words)
    assert done.stderr.startswith("no Kafka at ")  # before it asks
    assert bool(redis.exists("recent:u1")) == (code == 1)


@pytest.mark.parametrize("words", [(), ("",), ("u" * 129,)])
def test_what_is_no_id_is_refused(settings: dict[str, str], words: tuple[str, ...]) -> None:
    done = sagestream("forget", *words, settings=settings)
    assert done.returncode == 2
    assert "an id has 1 to 128 characters" in done.stderr


def test_cache_rebuild_brings_redis_back(settings: dict[str, str], redis: Redis) -> None:
    seen = redis.smembers("seen:u1")
    redis.flushall()
    done = sagestream("cache", "rebuild", "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"persons": 3, "edges": 30, "items": 0, "removed": 0}
    assert redis.smembers("seen:u1") == seen
    told = sagestream("cache", "rebuild", settings=settings)
    assert "publisher" in told.stdout
    redis.set(LOCK, "another")
    busy = sagestream("cache", "rebuild", settings=settings)
    assert busy.returncode == 1
    assert "another process" in busy.stderr
    assert "Traceback" not in busy.stderr
