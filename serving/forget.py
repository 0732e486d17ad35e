"""Forgetting somebody everywhere: SQL, Redis, snapshots, what can be told to Kafka, and the receipt.

Arrives: a user id from the command line. Leaves: nothing that names the person, but the tombstones that keep out what
still comes, and a receipt of counts. Next: nobody; a second run finds nothing more to take.

The tombstone is durable first. Whoever is writing lists at that moment looks at the tombstones when done
(`drop_lists_of_erased`): a list is written before the tombstone, and is deleted here, or after it, and is deleted by
its writer. Lists are found by name, not by scanning: those of every model of the registry and of the served one.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from kafka.errors import KafkaError
from redis import Redis
from sqlalchemy import Engine, select

from graphstore.erase import Erasure, add_to_receipt, erase_person
from graphstore.errors import reason
from graphstore.redis import hot
from graphstore.session import read
from graphstore.snapshots.erasure import erase_from_snapshots
from graphstore.tables import models
from serving import cache
from stream.config import StreamConfig
from stream.erasure import FOREVER, TOPICS_OF_USERS, retention_ms, withdraw_attributes
from stream.events import utc
from stream.kafka.broker import check_reachable
from stream.kafka.producer import DeliveryError

KEYS_AT_ONCE = 1000
BUNDLES = "none hold user rows"


class Tombstones(Protocol):
    """Who was forgotten; `serving.source.ShopSource` knows."""

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Those of the ids; None: everybody."""
        ...


def forget(
    engine: Engine,
    redis: Redis | None,
    stream: StreamConfig,
    snapshots_dir: Path,
    user_id: str,
    *,
    now: Callable[[], int],
) -> Erasure:
    """Forget the person behind an id and say what went from where; `now` gives epoch ms.

    Whatever raises or kills it on the way, running it again completes it: `sqlalchemy.exc.DBAPIError`,
    `redis.RedisError`, `OSError`. Without Redis (None) everything else is done, and the erasure stays incomplete. A
    broker that is away is told in the receipt, not raised.
    """
    erasure = erase_person(engine, user_id, now=now())
    ids = erasure.ids

    def note(**parts: Any) -> None:
        add_to_receipt(engine, user_id, parts)

    if redis is not None:
        note(redis={"recent and seen": hot.forget(redis, ids)})
        note(redis={"lists": drop_lists(redis, _versions(engine, redis), ids)})
    note(snapshots=erase_from_snapshots(engine, snapshots_dir, ids, now=now()), bundles=BUNDLES)
    told = _tell_kafka(stream, ids, now=now())
    return add_to_receipt(engine, user_id, {"kafka": told}, completed_at=None if redis is None else now())


def drop_lists_of_erased(
    redis: Redis, tombstones: Tombstones, model_version: str, user_ids: Sequence[str] | None = None
) -> set[str]:
    """For whoever has just written lists of a model: delete those of forgotten users, and say who they are."""
    gone = tombstones.erased(user_ids)
    drop_lists(redis, [model_version], gone)
    return gone


def drop_lists(redis: Redis, versions: Iterable[str], user_ids: Iterable[str]) -> int:
    """Delete these users' lists of these models, published and near-line; how many there were."""
    users = list(user_ids)
    names = (key(version, user) for version in versions for user in users for key in (cache.recs_key, cache.near_key))
    deleted = 0
    while some := list(islice(names, KEYS_AT_ONCE)):
        deleted += redis.delete(*some)
    return deleted


def _versions(engine: Engine, redis: Redis) -> set[str]:
    with read(engine) as connection:
        known = set(connection.scalars(select(models.c.model_version)))
    served = cache.champion(redis)
    return known if served is None else known | {served}


def _tell_kafka(config: StreamConfig, user_ids: Sequence[str], *, now: int) -> dict[str, Any]:
    """Take the attributes off their topic; until when the other topics may still hold raw events."""
    try:
        check_reachable(config)
        withdrawn = withdraw_attributes(config, user_ids)
        kept = retention_ms(config)
    except (KafkaError, DeliveryError) as error:
        return {"reached": False, "raw events until": f"not known: {reason(error)}"}
    return {
        "reached": True,
        "attributes withdrawn": withdrawn,
        "raw events until": {topic: _end(kept.get(topic), now) for topic in TOPICS_OF_USERS},
    }


def _end(retention: int | None, now: int) -> str:
    if retention is None:
        return "not told by the broker"
    return "without end" if retention == FOREVER else utc(now + retention).isoformat(timespec="seconds")
