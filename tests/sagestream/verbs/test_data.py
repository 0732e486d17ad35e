"""`produce` and `import`: files to events."""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sagestream.interruption import EXIT_CODE
from sagestream.playground.embedded import Broker
from stream import events
from stream.kafka.clients import open_consumer
from tests.brokers import stream_config_of
from tests.docs.pages import page
from tests.sagestream.verbs.commands import broker_settings, run, start

GOOD = '{"event_id":"e%d","event_type":"view","user_id":"u","item_id":"i","event_time":"2026-01-01T00:00:00Z"}'


def test_produce_takes_compressed_files_too(broker: Broker, settings: dict[str, str], tmp_path: Path) -> None:
    reach = {**settings, **broker_settings(broker)}
    file = tmp_path / "some.jsonl.gz"
    file.write_bytes(gzip.compress("\n".join([GOOD % 1, "nonsense", GOOD % 2]).encode()))
    done = run("produce", str(file), "--json", settings=reach)
    assert done.code == 1
    assert done.json == {"produced": 2, "rejected": 1}
    assert "line 2:" in done.err
    assert sent(broker, {"e1", "e2"}) == {"e1", "e2"}


def test_produce_translates_messages_of_the_trade(broker: Broker, settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "segment.jsonl"
    viewed = {"type": "track", "event": "Product Viewed", "timestamp": "2026-01-01T00:00:00Z", "messageId": "seg-1"}
    good = viewed | {"userId": "u", "properties": {"product_id": "p"}}
    file.write_text("\n".join(json.dumps(message) for message in (good, good | {"userId": ""})))
    done = run("produce", str(file), "--format", "segment", "--json", settings={**settings, **broker_settings(broker)})
    assert (done.code, done.json) == (1, {"produced": 1, "rejected": 1})
    assert "line 2: no id" in done.err
    assert sent(broker, {"seg-1"}) >= {"seg-1"}


def sent(broker: Broker, wanted: set[str], seconds: float = 60.0) -> set[str]:
    """The ids of the events on the topic, once the wanted ones are among them or the time is over."""
    config = stream_config_of(broker)
    consumer = open_consumer(config, events.INTERACTIONS, auto_offset_reset="earliest", fetch_max_wait_ms=40)
    found: set[str] = set()
    deadline = time.monotonic() + seconds
    while not wanted <= found and time.monotonic() < deadline:
        for records in consumer.poll(timeout_ms=200).values():
            found |= {json.loads(record.value)["event_id"] for record in records}
    consumer.close()
    return found


@pytest.mark.kill
def test_produce_sends_a_typed_line_at_once_and_ends_on_an_interrupt(broker: Broker, settings: dict[str, str]) -> None:
    """Nobody waits for a full batch of a slow standard input."""
    process = start("produce", "-", "--json", settings={**settings, **broker_settings(broker)})
    assert process.stdin is not None
    process.stdin.write(GOOD % 3 + "\n")
    process.stdin.flush()
    try:
        assert "e3" in sent(broker, {"e3"})
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == EXIT_CODE
    finally:
        process.kill()
        out, _ = process.communicate()
    assert '"produced": 1' in out


def test_import_stores_the_catalogue_and_the_events(settings: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item,timestamp\n" + "\n".join(f"u{n % 3},i{n % 2},{1_700_000_000 + n}" for n in range(10)))
    done = run("import", str(file), "--direct", "--json", settings=settings)
    assert done.code == 0
    told = done.json
    assert (told["read"], told["stored"], told["erased"], told["late"]) == (10, 10, 0, 0)
    assert run("import", str(file), "--direct", "--json", settings=settings).json["duplicate"] == 10


def test_a_snapshot_is_a_graph_of_pytorch_geometric_in_three_lines(settings: dict[str, str], tmp_path: Path) -> None:
    rows = [f"u{n % 7},i{n % 5},{1_700_000_000 + n * 3600},Tea {n % 5},{n % 5}.5" for n in range(120)]
    (tmp_path / "shop.csv").write_text("\n".join(["user,item,timestamp,title,price", *rows]))
    made = run("preprocess", str(tmp_path / "shop.csv"), "--no-redis", "--json", settings=settings)
    assert (made.code, made.error) == (0, None)
    lines = next(block.text for block in page("docs/snapshots.md").blocks if block.language == "python")
    # As somebody else's program, which knows nothing of ours.
    program = f"""{lines}
import json, sys
assert graph.validate()
edges = graph["user", "interacts", "item"]
assert edges.edge_index.shape == (2, 120) and bool((edges.edge_time.diff() >= 0).all())
assert not any(name.split(".")[0] in ("graphstore", "training", "stream") for name in sys.modules)
print(json.dumps([graph.num_nodes, graph["user"].x.size(0), graph["item"].x.size(0), graph.metadata()]))
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(command, cwd=made.json["path"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [12, 7, 5, [["user", "item"], [["user", "interacts", "item"]]]]
