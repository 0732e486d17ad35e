"""The worker's Faust app: an agent a topic, each handing record batches to `stream.worker.worker`.

Arrives: record batches of `interactions`, `impressions`, `catalog`, `users` and `identities`. Leaves: offsets,
committed after everything that follows from a batch is durable. Next: `stream.worker.worker` does the work,
`stream.kafka.record_batches` keeps the guarantee.

An error that waiting cannot mend stops the worker aloud, and the batch is delivered again.
"""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord

from stream import events
from stream.config import StreamConfig
from stream.kafka.batch_producer import BatchProducer
from stream.kafka.record_batches import BatchApp, record_batches
from stream.worker.sink import Sink
from stream.worker.topic_status import TopicStatus
from stream.worker.worker import TOPICS, Clock, Worker

MAX_BATCHES = 4
TRENDING_INTERVAL_SECONDS = 5.0
SEND_TIMEOUT_SECONDS = 20.0
ANNOUNCEMENT_BYTES = 128 * 1024
NEVER_SECONDS = 10.0 * 365 * 24 * 3600


class WorkerApp(BatchApp):
    """The app, and where its topics stand."""

    standing: TopicStatus


def create_app(config: StreamConfig, sink: Sink, now: Clock, directory: Path) -> WorkerApp:
    """The Faust app of one worker. `config.worker_id` must be its own: two live workers never share one.

    `directory` is where Faust may keep files of its own; ours are in SQL and Redis.
    """
    directory.mkdir(parents=True, exist_ok=True)
    app = WorkerApp(
        config.worker_group,
        broker=[f"kafka://{server}" for server in config.kafka_bootstrap_servers.split(",")],
        broker_credentials=credentials(config),
        store="memory://",
        datadir=str(directory),
        topic_disable_leader=True,
        topic_partitions=config.kafka_partitions,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_commit_interval=1.0,
        # Faust says every few seconds that a topic stands still; `standing` and the lag say it, and why.
        stream_processing_timeout=NEVER_SECONDS,
        broker_commit_livelock_soft_timeout=NEVER_SECONDS,
        # Announcements and dead letters are waited for: an error is told, and the messages are sent again.
        producer_request_timeout=SEND_TIMEOUT_SECONDS,
        producer_max_batch_size=ANNOUNCEMENT_BYTES,
        # At a stop, what is acknowledged is committed and the rest is delivered again: waiting until every message in
        # flight is through may never end while producers go on.
        stream_wait_empty=False,
        # A static membership: a worker restarted after kill -9 takes over its own partitions at once.
        consumer_group_instance_id=config.worker_id,
        web_enabled=False,
        fetch_wait_ms=int(config.worker_fetch_wait_seconds * 1000),
    )
    app.standing = TopicStatus(TOPICS, now)
    worker = Worker(
        sink,
        BatchProducer(app.aiokafka_producer).deliver,
        now,
        standing=app.standing,
        dead_share=config.worker_dead_share,
        dead_window=config.worker_dead_window,
    )
    handlers = {
        events.INTERACTIONS: worker.on_interactions,
        events.IMPRESSIONS: worker.on_impressions,
        events.CATALOG: worker.on_catalog,
        events.USERS: worker.on_users,
        events.IDENTITIES: worker.on_identities,
    }
    for name, handle in handlers.items():
        topic = app.batch_topic(name, partitions=config.kafka_partitions)
        app.agent(topic, name=name)(_agent(app, handle, config.worker_batch_seconds))

    @app.timer(interval=TRENDING_INTERVAL_SECONDS, on_leader=False)  # type: ignore[untyped-decorator]
    async def refresh_trending() -> None:
        worker.refresh_trending()

    return app


def health(app: WorkerApp) -> dict[str, str]:
    """Whether the worker has joined its group, and where each topic stands, for its probe."""
    if not app.started:
        stream = "starting"
    elif app.rebalancing or not app.rebalancing_count:
        stream = "waiting for its partitions"
    else:
        stream = "ok"
    return {"stream": stream, **app.standing.words()}


def _agent(app: BatchApp, handle: Callable[[list[ConsumerRecord]], Awaitable[None]], within_seconds: float) -> Any:
    async def run(stream: Any) -> None:
        async for records in record_batches(stream, max_batches=MAX_BATCHES, within_seconds=within_seconds):
            try:
                await handle(records)
            except Exception as error:
                # Faust would restart the agent and go on behind the batch: stop the whole worker instead.
                await app.crash(error)
                raise

    return run


def credentials(config: StreamConfig) -> Any:
    """Faust's form of the SASL and TLS settings, None for a plain connection."""
    if config.kafka_security_protocol == "PLAINTEXT":
        return None
    encrypted = config.kafka_security_protocol in ("SSL", "SASL_SSL")
    context = ssl.create_default_context(cafile=config.kafka_ssl_cafile) if encrypted else None
    if context is not None and config.kafka_ssl_certfile:
        context.load_cert_chain(config.kafka_ssl_certfile, config.kafka_ssl_keyfile)
    if not config.kafka_security_protocol.startswith("SASL"):
        return faust.SSLCredentials(context=context)
    password = config.kafka_sasl_password
    return faust.SASLCredentials(
        username=config.kafka_sasl_username,
        password=password.get_secret_value() if password else None,
        mechanism=config.kafka_sasl_mechanism,
        ssl_context=context,
    )
