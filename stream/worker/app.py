"""The worker's Faust app: one agent for each topic, which gives record batches to `stream.worker.worker`.

Arrives: record batches of the topics that the worker reads. Leaves: committed offsets, after all results of a batch
are durable. Next: `stream.worker.worker` processes the batches, `stream.kafka.record_batches` keeps the guarantee.

An error that a retry cannot solve stops the worker with a log message, and the batch is delivered again.
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
from stream.kafka.topics import FETCH_MAX_WAIT_MS, idle_fetch_max_wait_ms
from stream.worker.sink import Sink
from stream.worker.topic_status import TopicStatus
from stream.worker.worker import TOPICS, Clock, Worker

BATCH_SECONDS = 0.02
"""How long an agent gathers record batches for one SQL transaction."""
MAX_BATCHES = 4
TRENDING_INTERVAL_SECONDS = 5.0
SEND_TIMEOUT_SECONDS = 20.0
ANNOUNCEMENT_BYTES = 128 * 1024
METADATA_MS = 5_000
NEVER_SECONDS = 10.0 * 365 * 24 * 3600


class WorkerApp(BatchApp):
    """The Faust app with the status of its topics."""

    standing: TopicStatus


def create_app(config: StreamConfig, sink: Sink, now: Clock, directory: Path) -> WorkerApp:
    """Create the Faust app of one worker. Each running worker needs its own `config.member_id`.

    Faust may keep files in `directory`. Our data are in SQL and Redis.
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
        # Faust logs every few seconds that a topic does not move. The topic status and the lag show it with the reason.
        stream_processing_timeout=NEVER_SECONDS,
        broker_commit_livelock_soft_timeout=NEVER_SECONDS,
        # The worker waits for announcements and dead letters. After an error they are sent again.
        producer_request_timeout=SEND_TIMEOUT_SECONDS,
        producer_max_batch_size=ANNOUNCEMENT_BYTES,
        # At a stop, acknowledged batches are committed and the others are delivered again. To wait for all messages in
        # flight may never end while producers send.
        stream_wait_empty=False,
        # Static membership: a worker that restarts after kill -9 gets its own partitions back at once.
        consumer_group_instance_id=config.member_id,
        web_enabled=False,
        # A topic that was created again is found within this time, instead of five minutes.
        consumer_metadata_max_age_ms=METADATA_MS,
        fetch_wait_ms=FETCH_MAX_WAIT_MS,
        idle_fetch_wait_ms=idle_fetch_max_wait_ms(config),
    )
    app.standing = TopicStatus(TOPICS, now)
    worker = Worker(
        sink,
        BatchProducer(app.aiokafka_producer).deliver,
        now,
        standing=app.standing,
        dead_share=config.worker_dead_share,
    )
    handlers = {
        events.INTERACTIONS: worker.on_interactions,
        events.IMPRESSIONS: worker.on_impressions,
        events.CATALOG: worker.on_catalog,
        events.CATALOG_CHANGES: worker.on_changes,
        events.USERS: worker.on_users,
        events.IDENTITIES: worker.on_identities,
        events.SEEN: worker.on_seen,
    }
    for name, handle in handlers.items():
        topic = app.batch_topic(name, partitions=config.kafka_partitions)
        app.agent(topic, name=name)(_agent(app, handle))

    @app.timer(interval=TRENDING_INTERVAL_SECONDS, on_leader=False)  # type: ignore[untyped-decorator]
    async def refresh_trending() -> None:
        worker.refresh_trending()

    return app


def health(app: WorkerApp, *, waits_for: str = "") -> dict[str, str]:
    """Return the state of the consumer group and of each topic, for the probe. `waits_for`: a service that is away."""
    if waits_for:
        stream = f"waiting for {waits_for}"
    elif not app.started:
        stream = "starting"
    elif app.rebalancing or not app.rebalancing_count:
        stream = "waiting for its partitions"
    else:
        stream = "ok"
    return {"stream": stream, **app.standing.words()}


def _agent(app: BatchApp, handle: Callable[[list[ConsumerRecord]], Awaitable[None]]) -> Any:
    async def run(stream: Any) -> None:
        async for records in record_batches(stream, max_batches=MAX_BATCHES, within_seconds=BATCH_SECONDS):
            try:
                await handle(records)
            except Exception as error:
                # Faust would restart the agent and continue after the batch. Stop the whole worker instead.
                await app.crash(error)
                raise

    return run


def credentials(config: StreamConfig) -> Any:
    """Return the SASL and TLS settings in Faust's form, None for a plain connection."""
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
