"""Forget: deletes a person's data from SQL, Redis, snapshots and Kafka, and returns a receipt.

Arrives: a user id from the command line. Leaves: tombstones, which block events that arrive later, and a receipt with
counts. All other data of the person is deleted. Next: no module; a second run finds nothing more to delete.

The tombstone is durable first. A process that writes lists at the same time checks the tombstones after its writes
(`drop_lists_of_erased`). So a list from before the tombstone is deleted here, and a later list is deleted by its
writer. Lists are found by their keys, without a scan: for every model in the registry and the served models.
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
from graphstore.redis.fence import raise_to
from graphstore.session import read
from graphstore.snapshots.erasure import erase_from_snapshots
from graphstore.state import people_generation
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
    """The source of the forgotten users. `serving.source.ShopSource` implements it."""

    def erased(self, user_ids: Sequence[str] | None = None) -> set[str]:
        """Return the forgotten users among `user_ids`. With None, return all forgotten users."""
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
    """Forget the person with this id, and return the receipt of all deletions.

    After an error or a kill, a second run completes the erasure. An unreachable broker is not an error: the receipt
    reports it.

    Args:
        engine: The database.
        redis: With None, everything else is done, and the erasure stays incomplete.
        stream: The settings of Kafka.
        snapshots_dir: The directory of the snapshots.
        user_id: Any id of the person.
        now: Returns the time (epoch ms).

    Raises:
        sqlalchemy.exc.DBAPIError: The database failed.
        redis.RedisError: Redis failed.
        OSError: A snapshot cannot be written.
    """
    erasure = erase_person(engine, user_id, now=now())
    ids = erasure.ids

    def note(**parts: Any) -> None:
        add_to_receipt(engine, user_id, parts)

    if redis is not None:
        with read(engine) as connection:
            raise_to(redis, people_generation(connection))  # a worker that read earlier is refused
        note(redis={"remembered": hot.forget(redis, ids)})
        note(redis={"lists": drop_lists(redis, _versions(engine, redis), ids)})
    note(snapshots=erase_from_snapshots(engine, snapshots_dir, ids, now=now()), bundles=BUNDLES)
    told = _tell_kafka(stream, ids, now=now())
    return add_to_receipt(engine, user_id, {"kafka": told}, completed_at=None if redis is None else now())


def drop_lists_of_erased(
    redis: Redis, tombstones: Tombstones, versions: Iterable[str], user_ids: Sequence[str] | None = None
) -> set[str]:
    """Delete the forgotten users' lists, and return these users. Call it after each write of the models' lists."""
    gone = tombstones.erased(user_ids)
    drop_lists(redis, versions, gone)
    return gone


def drop_lists(redis: Redis, versions: Iterable[str], user_ids: Iterable[str]) -> int:
    """Delete the users' published and near-line lists of the models, and return their number."""
    users = list(user_ids)
    names = (key(version, user) for version in versions for user in users for key in (cache.recs_key, cache.near_key))
    deleted = 0
    while some := list(islice(names, KEYS_AT_ONCE)):
        deleted += redis.delete(*some)
    return deleted


def _versions(engine: Engine, redis: Redis) -> set[str]:
    with read(engine) as connection:
        known = set(connection.scalars(select(models.c.model_version)))
    served = cache.served(redis)
    return known if served is None else known.union(served.versions)


def _tell_kafka(config: StreamConfig, user_ids: Sequence[str], *, now: int) -> dict[str, Any]:
    """Withdraw the attributes. Report until which time the other topics may still contain raw events."""
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
