"""`dlq list` and `dlq replay` as one types them."""

import json
from datetime import UTC, datetime

from sagestream.error_messages import message
from sagestream.playground.embedded import Broker
from stream import events
from stream.events import DeadLetter
from stream.kafka.producer import EventProducer
from tests.brokers import stream_config_of
from tests.sagestream.verbs.commands import broker_settings, run

GOOD = '{"event_id":"e","event_type":"view","user_id":"u","item_id":"i","event_time":"2026-01-01T00:00:00Z"}'


def put(broker: Broker, *contents: tuple[bytes, str]) -> None:
    with EventProducer(stream_config_of(broker)) as producer:
        for number, (raw, error) in enumerate(contents):
            letter = DeadLetter(
                raw=raw,
                topic=events.INTERACTIONS,
                partition=1,
                offset=number,
                error=error,
                first_seen=datetime(2026, 1, 5, 12, number, tzinfo=UTC),
            )
            producer.send(events.DEAD_LETTERS, letter, key="u")


def test_from_letters_to_a_replay(broker: Broker, settings: dict[str, str]) -> None:
    reach = {**settings, **broker_settings(broker)}
    empty = run("dlq", "list", settings=reach)
    assert (empty.code, empty.out.strip()) == (0, "0 letters, 0 of them not replayed yet")
    assert run("dlq", "replay", "--json", settings=reach).json["sent"] == 0

    put(broker, (b"\x1b[31m\xff\xfe{", "broken \x1b[2J"), (GOOD.encode(), "a fault of ours"), (b"{}" * 999, "broken"))
    listed = run("dlq", "list", "--json", settings=reach).json
    assert (listed["letters"], listed["waiting"]) == (3, 3)
    assert {"topic": "interactions", "reason": "a fault of ours", "letters": 1} in listed["reasons"]
    newest = listed["newest"]
    assert [one["offset"] for one in newest] == [2, 1, 0]
    assert newest[2]["raw"] == "\\x1b[31m\\xff\\xfe{"
    assert newest[0]["raw"].endswith("…")
    assert newest[1]["first_seen"] == "2026-01-05T12:01:00+00:00"
    shown = run("dlq", "list", settings=reach).out
    assert "\x1b" not in shown
    assert "interactions/1@0: broken \\x1b[2J" in shown
    assert run("dlq", "list", "--reason", "OURS", "--json", settings=reach).json["letters"] == 1
    assert run("dlq", "list", "--topic", "catalog", "--json", settings=reach).json["letters"] == 0
    assert run("dlq", "list", "--since", "2026-01-05T12:01", "--json", settings=reach).json["letters"] == 2
    assert run("dlq", "list", "--since", "1h", "--limit", "0", "--json", settings=reach).json["newest"] == []

    looked = run("dlq", "replay", "--dry-run", "--json", settings=reach).json
    assert (looked["sent"], looked["invalid"], looked["dry_run"]) == (1, 2, True)
    told = run("dlq", "replay", settings=reach)
    assert told.code == 0
    assert "sent: 1 · invalid: 2" in told.out
    assert "1 invalid: JSON is malformed" in told.out
    assert run("dlq", "replay", "--json", settings=reach).json["sent"] == 0
    assert run("dlq", "replay", "--all", "--reason", "ours", "--json", settings=reach).json["sent"] == 1
    assert run("dlq", "list", "--json", settings=reach).json["waiting"] == 0


def test_letters_on_a_narrow_terminal(broker: Broker, settings: dict[str, str]) -> None:
    reason = (
        "Object contains unknown field `purchased_at_store_number` - at `$`, or event_time is too far in the future"
    )
    put(broker, (b'{"event_id":"' + b"0123456789" * 20 + b'"}', reason))
    done = run("dlq", "list", "--reason", "purchased", settings={**settings, **broker_settings(broker)}, columns=80)
    lines = done.out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert set(reason.split()) <= {word for line in lines for word in line.split()}
    assert sum("0123456789" in line for line in lines) == 1  # the letter itself is cut, not folded


def test_without_a_broker_it_is_one_line(settings: dict[str, str]) -> None:
    for words in (("dlq", "list"), ("dlq", "replay")):
        done = run(*words, settings=settings)
        assert done.code == 1
        assert message(done.error).startswith("no Kafka at ")


def test_wrong_words(settings: dict[str, str]) -> None:
    assert run("dlq", "list", "--since", "soon", settings=settings).code == 2
    assert run("dlq", "fly", settings=settings).code == 2
    assert json.dumps(run("dlq", "list", "--limit", "-1", settings=settings).code) == "2"
