"""The topics: their keys, partitions and compaction, and their creation before the first use."""

from dataclasses import dataclass

from kafka.admin import NewTopic
from kafka.errors import TopicAlreadyExistsError

from stream import events
from stream.config import StreamConfig
from stream.kafka.clients import open_admin


@dataclass(frozen=True)
class Topic:
    """A topic of the contract. `partitions` None means the configured number."""

    name: str
    key: str
    holds: str
    partitions: int | None = None
    compacted: bool = False


TOPICS = (
    Topic(events.INTERACTIONS, "user_id", "what shoppers did"),
    Topic(events.IMPRESSIONS, "user_id", "lists that were served"),
    Topic(events.CATALOG, "item_id", "items, upserted; a null value deletes", compacted=True),
    Topic(events.CATALOG_CHANGES, "item_id", "some fields of items"),  # compaction would drop the other fields
    Topic(events.USERS, "user_id", "users' attributes, upserted; a null value deletes", compacted=True),
    Topic(events.IDENTITIES, "anonymous_id", "sessions that logged in"),
    Topic(events.SEEN, "user_id", "what shoppers have seen of the served lists"),
    Topic(events.USERS_TOUCHED, "user_id", "shoppers whose graph changed, after it is durable"),
    Topic(events.MODELS, "model_version", "what the registry decided", partitions=1, compacted=True),
    Topic(events.DEAD_LETTERS, "as it came", "messages that could not be read, with the reason", partitions=1),
)

TOPIC_NAMES = frozenset(topic.name for topic in TOPICS)

PRODUCER_HEADER = "producer"
"""The Kafka header in which a producer may name itself (`stream.worker.dlq_limit`)."""

CREATE_SECONDS = 30.0
"""How long a broker that has just been started may take to answer."""
GIVEN_SECONDS = 5.0
"""How long a broker that should run already may take."""

FETCH_MAX_WAIT_MS = 40
"""How long a fetch waits at the broker for the first record. A record of a partition that this fetch does not ask for
waits as long."""

IDLE_FETCH_MAX_WAIT_MS = 200
"""The same after `IDLE_SECONDS` without a record. The fetch then asks for all partitions, and Kafka answers at once."""

IDLE_SECONDS = 5.0


def idle_fetch_max_wait_ms(config: StreamConfig) -> int:
    """Return how long an idle fetch waits. The embedded broker, which has no producer ids, sleeps half of this time."""
    return IDLE_FETCH_MAX_WAIT_MS if config.producer_idempotent else FETCH_MAX_WAIT_MS


def create_topics(config: StreamConfig, *, timeout_seconds: float = CREATE_SECONDS) -> list[str]:
    """Create the missing topics and return their names. Existing topics are not changed.

    Raises `KafkaTimeoutError` with the reason when no broker answers within `timeout_seconds`.
    """
    milliseconds = int(timeout_seconds * 1000)
    admin = open_admin(config, bootstrap_timeout_ms=milliseconds, request_timeout_ms=milliseconds)
    created = []
    try:
        existing = set(admin.list_topics())
        for topic in TOPICS:
            if topic.name in existing:
                continue
            settings = {"cleanup.policy": "compact"} if topic.compacted else {}
            new = NewTopic(
                topic.name,
                num_partitions=topic.partitions or config.kafka_partitions,
                replication_factor=config.kafka_replication,
                topic_configs=settings,
            )
            try:
                admin.create_topics([new])
                created.append(topic.name)
            except TopicAlreadyExistsError:
                continue  # another process created it meanwhile
    finally:
        admin.close()
    return created
