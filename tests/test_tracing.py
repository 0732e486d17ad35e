"""One posted event is followed through a real broker: web process, worker, near-line, to the shopper's new list."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import LazySettings
from django.test import Client
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr
from redis import Redis

from graphstore import tracing
from graphstore.config import GraphstoreConfig
from graphstore.session import open_engine
from graphstore.spans import Tracing
from sagestream.playground.embedded import Broker
from serving import cache
from serving.config import ServingConfig
from serving.nearline import run_nearline
from serving.source import ShopSource
from serving.web import services
from stream.events import INTERACTIONS, USERS_TOUCHED
from stream.kafka.clients import open_consumer
from stream.kafka.producer import EventProducer
from tests.brokers import stream_config_of
from tests.databases import migrated_sqlite
from tests.serving.toy import NAMES, register, touch, toy_load
from tests.stream.worker_process import worker_process
from tests.waiting import wait_until

SHOPS_OWN = f"00-{0xABC:032x}-{0xDEF:016x}-01"
"""The `traceparent` of the shop's server, whose trace goes on here."""


class Collector(BaseHTTPRequestHandler):
    """Takes spans by OTLP, as a collector does."""

    spans: list[Any] = []  # noqa: RUF012 - one collector for the one test

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.spans += [span for of in sent.resource_spans for part in of.scope_spans for span in part.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A collector, named in the environment of the processes that a test starts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.use_tracing(Tracing("test", SimpleSpanProcessor(exporter)))
    yield exporter
    tracing.use_tracing(None)


@pytest.fixture
def client(settings: LazySettings, tansu: Broker, redis_url: str) -> Iterator[Client]:
    """The web process, with the worker and near-line behind it to come."""
    services.close()
    settings.SERVING = ServingConfig(api_key=SecretStr("open sesame"))
    settings.GRAPHSTORE, settings.STREAM = GraphstoreConfig(redis_url=redis_url), stream_config_of(tansu)
    settings.DELIVERY_SECONDS = 20.0
    yield Client(headers={"X-API-Key": "open sesame", "traceparent": SHOPS_OWN})
    services.close()


def test_an_event_is_one_trace_from_post_to_list(
    client: Client, tansu: Broker, redis: Redis, redis_url: str, tmp_path: Path, exported: InMemorySpanExporter
) -> None:
    database_url = migrated_sqlite(tmp_path / "graph.db")
    engine = open_engine(database_url)
    for name in NAMES:
        touch(engine, "first", name, 1)
    keys = {item.item_id: item.item_key for item in ShopSource(engine, 10).items()}
    register(engine, "m1")
    redis.set(cache.CHAMPION, "m1")
    engine.dispose()
    stop = threading.Event()
    graphstore = GraphstoreConfig(redis_url=redis_url, database_url=database_url)
    near = threading.Thread(
        target=run_nearline,
        args=(ServingConfig(), graphstore, stream_config_of(tansu), stop),
        kwargs={"load": toy_load(keys)},
    )
    near.start()
    try:
        with worker_process(tansu, database_url, redis_url, tmp_path / "log", log_format="json") as worker:
            event = {
                "event_id": "e1",
                "event_type": "click",
                "user_id": "ann",
                "item_id": "dates",
                "event_time": datetime.now(UTC).isoformat(),
            }
            with EventProducer(stream_config_of(tansu)) as producer:
                producer.send_raw(INTERACTIONS, b"{", key=b"bad")
            posted = client.post("/events/", orjson.dumps(event), content_type="application/json")
            assert posted.status_code == 202
            worker.wait_for(lambda: redis.exists(cache.near_key("m1", "ann")))
            worker.wait_for(lambda: [span for span in Collector.spans if span.links])
            worker.wait_for(lambda: "dead letters" in worker.log.read_text())
            wait_until(lambda: len(exported.get_finished_spans()) == 2)
            text = worker.log.read_text()
    finally:
        stop.set()
        near.join(20)

    spans = {span.name: span for span in exported.get_finished_spans()}
    post, refresh = spans["POST events"], spans[f"refresh {USERS_TOUCHED}"]
    (store,) = [span for span in Collector.spans if span.name == f"store {INTERACTIONS}" and span.links]
    assert {post.context.trace_id, refresh.context.trace_id, int.from_bytes(store.trace_id, "big")} == {0xABC}
    assert post.parent is not None and post.parent.span_id == 0xDEF
    assert int.from_bytes(store.parent_span_id, "big") == post.context.span_id
    assert [int.from_bytes(link.span_id, "big") for link in store.links] == [post.context.span_id]
    assert parent_of(refresh) == int.from_bytes(store.span_id, "big")
    assert refresh.attributes is not None
    assert refresh.attributes["sagestream.lists"] == 1
    assert b"ann" not in store.SerializeToString()
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert {line["process"] for line in lines} == {"worker"}
    (bad,) = [line for line in lines if "dead letters" in line["message"]]
    assert bad["topic"] == INTERACTIONS
    assert 0 in [first for first, _ in bad["offsets"].values()]

    consumer = open_consumer(stream_config_of(tansu), INTERACTIONS, auto_offset_reset="earliest")
    message = next(message for message in consumer if message.value != b"{")
    consumer.close()
    assert orjson.loads(message.value)["event_id"] == "e1"
    assert b"trace" not in message.value
    assert ("producer", b"serve") in message.headers


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent and span.parent.span_id
