"""Every verb, called beside data of strangers: no string of theirs is markup, and no character of theirs moves a
terminal."""

import ast
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from redis import Redis

import sagestream
from graphstore.catalogue import Item
from graphstore.erase import erase_person
from graphstore.redis import item_store
from graphstore.session import migrate, now_ms, open_engine, write
from graphstore.tables import experiments, metric_windows
from graphstore.upserts import ImpressionRow, insert_impressions
from sagestream import cli
from sagestream.playground.embedded import Broker, free_port
from stream import events
from stream.events import DeadLetter
from stream.kafka.producer import EventProducer
from stream.probe import Probe, start_probe
from tests.brokers import stream_config_of
from tests.sagestream.verbs.commands import broker_settings
from tests.sagestream.verbs.commands import sagestream as call
from tests.serving.toy import ITEMS, fill_redis
from training.lifecycle import registry

HOSTILE = "[/nope][red]\x1b[2J\x9b31m\x7f\u202e:smile:"
SHOWN = "[/nope][red]\\x1b[2J\\x9b31m\\x7f\\u202e:smile:"
FILE = "[nope]\x1b[2J:smile:.csv"
"""As a part of a path: without a slash."""


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = start_probe(0, lambda: {HOSTILE: HOSTILE})
    yield probe
    probe.close()


@pytest.fixture
def shop(settings: dict[str, str], redis: Redis, broker: Broker, probe: Probe) -> dict[str, str]:
    """Every table, key and topic that a verb shows holds hostile text; so does the worker's answer."""
    url = f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}"
    migrate(url)
    engine, now = open_engine(url), now_ms()
    with write(engine) as connection:
        model = registry.ModelRow(
            model_version=HOSTILE,
            kind=HOSTILE[:32],
            status="champion",
            parent=HOSTILE,
            snapshot_id=HOSTILE,
            bundle=f"models/{HOSTILE}",
            metrics={},
            gate={"verdict": HOSTILE, "reasons": [HOSTILE]},
            seconds=1.0,
            created_at=now,
        )
        registry.register(connection, model)
        registry.start_run(connection, "r1", kind=HOSTILE[:32], trigger=HOSTILE, now=now - 5000)
        registry.finish_run(connection, "r1", status="failed", now=now, error=HOSTILE, model_version=HOSTILE)
        insert_impressions(
            connection,
            [ImpressionRow("q1", 0, HOSTILE, HOSTILE, HOSTILE, now - 1000, HOSTILE, HOSTILE, 1.0, 1.0, HOSTILE)],
        )
        arms = json.dumps([{"name": HOSTILE, "share": 0.5}, {"name": "b", "share": 0.5, "model_version": HOSTILE}])
        connection.execute(
            experiments.insert().values(
                name=HOSTILE, salt="s", arms=arms, status=HOSTILE[:32], who=HOSTILE, why=HOSTILE, started_at=now
            )
        )
        detail = json.dumps({"verdict": HOSTILE, "reason": HOSTILE, "report_html": HOSTILE})
        connection.execute(
            metric_windows.insert().values(
                metric="drift", segment="all", window_start=now - 1, window_end=now, value=0.5, detail=detail
            )
        )
    erase_person(engine, f"{HOSTILE}2", now=now)
    engine.dispose()
    fill_redis(redis)
    item_store.set_items(redis, [*ITEMS[:-1], Item(ITEMS[-1].item_key, HOSTILE, title=HOSTILE)])
    reach = settings | broker_settings(broker)
    with EventProducer(stream_config_of(broker)) as producer:
        letter = DeadLetter(
            raw=HOSTILE.encode(), topic=HOSTILE, partition=0, offset=0, error=HOSTILE, first_seen=events.utc(now)
        )
        producer.send(events.DEAD_LETTERS, letter, key="u")
    ports = {"PROBE_PORT": str(probe.port), "SERVE_PORT": str(free_port())}
    return reach | ports


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files with hostile names, headers and rows."""
    table = tmp_path / FILE
    table.write_text(f"user,item,timestamp,{HOSTILE}\nu,{HOSTILE},1700000000,x\nu,i,{HOSTILE},x\n")
    folder = tmp_path / "[nope]\x1b"
    folder.mkdir()
    (folder / "[b]\x1b.csv").write_text(f"user,item,timestamp,{HOSTILE}\nu,{HOSTILE},1700000000,x\n")
    (folder / f"{FILE}.gz").write_bytes(gzip.compress(HOSTILE.encode()))
    lines = tmp_path / "[nope]\x1b.jsonl"
    lines.write_text(f"{HOSTILE}\n")
    return {"table": str(table), "folder": str(folder), "lines": str(lines)}


WALK: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    # What shows stored text.
    "recommend": ((HOSTILE,), {}),
    "similar": (("dates",), {}),
    "explain": ((HOSTILE, HOSTILE), {}),
    "report": (("--compare", "previous"), {}),
    "retrain": (("--why", HOSTILE), {}),
    "history": ((), {}),
    "why": ((HOSTILE,), {}),
    "models list": ((), {}),
    "experiments list": ((), {}),
    "experiments report": ((HOSTILE,), {}),
    "doctor": ((), {}),
    "slots list": ((), {}),
    "slots check": (("{table}",), {}),
    "dlq list": ((), {}),
    "dlq replay": (("--dry-run",), {}),
    "forget": (("--list",), {}),
    # What reads files.
    "import": (("{table}", "--direct", "--no-redis"), {}),
    "preprocess": (("{folder}", "--no-redis"), {}),
    "produce": (("{lines}",), {}),
    "replay": (("--file", "{lines}", "--direct"), {}),
    "simulate": (("--dataset", "{table}"), {}),
    "benchmark": (("--interactions", "{table}", "--items", "{table}"), {}),
    # What names models, snapshots and files that are not there, or not sound.
    "models promote": ((f"{HOSTILE}3",), {}),
    "models rollback": ((), {}),
    "experiments start": ((HOSTILE, "--arm", f"{HOSTILE}=0.5", "--arm", f"b=0.5,model={HOSTILE}3"), {}),
    "experiments stop": ((f"{HOSTILE}3",), {}),
    "ope": (("--dataset", "obd", "--path", "{folder}"), {}),
    "evaluate": ((f"{HOSTILE}3",), {}),
    "visualize": (("--json-results", "{table}"), {}),
    "export": (("--bundle", "{folder}", "--format", "torchscript"), {}),
    "score": (("--bundle", "{folder}", "--out", "x.jsonl"), {}),
    "train": (("--config", "{table}"), {}),
    "train-distributed": (("--snapshot", "{folder}", "--out", "{folder}"), {}),
    "tune": (("--snapshot", "{folder}"), {}),
    "graph report": (("{folder}",), {}),
    # What reads settings.
    "playground": (("--dataset", "{folder}"), {}),
    "init": ((), {"KAFKA_BOOTSTRAP_SERVERS": HOSTILE}),
    "worker": ((), {"KAFKA_BOOTSTRAP_SERVERS": HOSTILE}),
    "nearline": ((), {"LIST_LENGTH": HOSTILE}),
    "publisher": ((), {"LIST_LENGTH": HOSTILE}),
    "scheduler": ((), {"TRAINING_CONFIG": HOSTILE}),
    "serve": ((), {"SERVE_PORT": HOSTILE}),
    "ranker": ((), {"RANKER_PORT": HOSTILE}),
    "monitor": ((), {"DRIFT_QUIET_DAYS": HOSTILE}),
    "compact": (("--days", "1"), {HOSTILE: ""}),
    "cache rebuild": ((), {"REDIS_URL": HOSTILE}),
}
"""A call of each verb, and settings of its own."""


def verbs(command: Any, name: str = "") -> Iterator[str]:
    if inside := getattr(command, "commands", None):
        for part, inner in inside.items():
            yield from verbs(inner, f"{name} {part}".strip())
    else:
        yield name


def test_the_walk_calls_every_verb() -> None:
    assert set(WALK) == set(verbs(typer.main.get_command(cli.app)))


def test_a_wrong_argument_is_shown_as_text() -> None:
    done = call("graph", "report", "--picture", HOSTILE, settings={})
    assert done.returncode == 2
    assert done.stderr.replace("\n", "").isprintable()
    assert "\\x1b[2J" in done.stderr


@pytest.mark.slow
def test_no_text_of_a_stranger_is_markup_or_moves_the_terminal(
    shop: dict[str, str], files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = []
    for verb, (words, changes) in WALK.items():
        done = call(
            *verb.split(), *(word.format(**files) if "{" in word else word for word in words), settings=shop | changes
        )
        for stream in (done.stdout, done.stderr):
            assert stream.replace("\n", "").isprintable(), (verb, stream)
        assert "Traceback" not in done.stderr, (verb, done.stderr)
        assert done.stdout + done.stderr, verb
        if SHOWN in " ".join((done.stdout + done.stderr).split()):
            shown.append(verb)
    assert {"recommend", "explain", "report", "history", "doctor", "import", "forget", "serve"} <= set(shown)


def test_json_is_plain_ascii_and_holds_the_very_text(shop: dict[str, str]) -> None:
    for words in (("models", "list"), ("history",), ("report",), ("recommend", HOSTILE), ("doctor",)):
        told = call(*words, "--json", settings=shop).stdout
        assert told.strip().isprintable()
        assert told.isascii()
        assert HOSTILE in json.dumps(json.loads(told), ensure_ascii=False).replace("\\u001b", "\x1b")


def test_nothing_in_the_command_line_prints_by_another_way() -> None:
    """One module prints: `sagestream.printable`."""
    folder = Path(sagestream.__path__[0])
    for file in folder.rglob("*.py"):
        if file.name == "printable.py":
            continue
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("rich.console", "rich.markup") or file.name == "tables.py", file
            if isinstance(node, ast.Call):
                named = ast.unparse(node.func)
                assert named not in (
                    "print",
                    "typer.echo",
                    "typer.secho",
                    "click.echo",
                    "Console",
                    "typer.BadParameter",
                ), file
