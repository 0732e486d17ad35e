"""Erasure in Kafka: deletes the attributes of forgotten users, and reports how long raw events stay.

Arrives: the ids of a person. Leaves: nulls on the compacted topic `users`, which delete the attributes; the retention
of the other topics. Next: `serving.forget` adds both to the receipt.

A Kafka log cannot be edited: events stay until the retention deletes them, and a little longer, because Kafka deletes
whole segments. The tombstone in SQL keeps these events out of the graph, however often they are read.
"""

from collections.abc import Iterable
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType

from stream import events
from stream.config import StreamConfig
from stream.kafka.clients import open_admin
from stream.kafka.producer import EventProducer

TOPICS_OF_USERS = (
    events.INTERACTIONS,
    events.IMPRESSIONS,
    events.IDENTITIES,
    events.SEEN,
    events.USERS_TOUCHED,
    events.DEAD_LETTERS,
)
"""Topics with a retention whose messages name users."""

FOREVER = -1
RETENTION = "retention.ms"


def withdraw_attributes(config: StreamConfig, user_ids: Iterable[str]) -> int:
    """Send a null for each id to the topic `users` and wait for the acknowledgement; return the number sent.

    Raises `stream.kafka.producer.DeliveryError` and `kafka.errors.KafkaError`.
    """
    with EventProducer(config) as producer:
        for user_id in user_ids:
            producer.send_raw(events.USERS, None, key=user_id.encode())
    return producer.delivered


def retention_ms(config: StreamConfig) -> dict[str, int]:
    """Return the retention (ms) of each topic that names users; `FOREVER` means no limit.

    Topics that the broker does not have are left out. Raises `kafka.errors.KafkaError`.
    """
    admin = open_admin(config)
    try:
        known = set(admin.list_topics())
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in TOPICS_OF_USERS if name in known]
        told = admin.describe_configs(asked, config_filter="all") if asked else {}
    finally:
        admin.close()
    return _retentions(told)


def _retentions(told: dict[str, Any]) -> dict[str, int]:
    """From `{resource type: {topic: {setting: {"value": …}}}}`."""
    return {
        topic: int(settings[RETENTION]["value"])
        for topics in told.values()
        for topic, settings in topics.items()
        if RETENTION in settings
    }
