"""Asked: the requests for a retrain that came by HTTP, on their way to SQL.

Arrives: a request from the web process, which has no SQL. Leaves: a list in Redis. Next:
`training.lifecycle.asked` writes each request into `retrain_requests` and takes it off the list.

It is the one thing in Redis that SQL cannot rebuild, for the seconds until the scheduler's next tick: whoever asked
gets no answer from `history` then and asks again. Rejected: a topic of Kafka, because it would be a contract, a
consumer and a group for something that one person sends once a week. This module does not import SQLAlchemy.
"""

import msgspec
from redis import Redis

ASKED = "retrain:asked"
"""List: the requests as JSON, oldest first."""

MAX_ASKED = 100
"""More requests than this do not wait: one run answers all of them."""

MAX_REASON_LENGTH = 500
"""Characters of a reason."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `asked_at` is epoch ms; no two requests of one asker have the same."""

    requested_by: str
    reason: str
    asked_at: int
    full: bool = False


class NotAsked(ValueError):
    """The value is no request. The message tells why."""


def ask(redis: Redis, asked: Asked) -> None:
    """Put the request on the list. Raises `redis.RedisError`."""
    pipeline = redis.pipeline()
    pipeline.rpush(ASKED, msgspec.json.encode(asked))
    pipeline.ltrim(ASKED, -MAX_ASKED, -1)
    pipeline.execute()


def raw_requests(redis: Redis) -> list[bytes]:
    """Return the list, oldest first; `decode` reads each. Raises `redis.RedisError`."""
    found: list[bytes] = redis.lrange(ASKED, 0, -1)  # type: ignore[assignment]
    return found


def decode(raw: bytes) -> Asked:
    """Return the request. Raises `NotAsked`."""
    try:
        asked = msgspec.json.decode(raw, type=Asked)
    except msgspec.MsgspecError as error:
        raise NotAsked(str(error)) from error
    if len(asked.reason) > MAX_REASON_LENGTH:
        raise NotAsked(f"a reason of {len(asked.reason)} characters")
    return asked


def take_off(redis: Redis, raw: bytes) -> None:
    """Take a request off the list, after it is durable elsewhere. Raises `redis.RedisError`."""
    redis.lrem(ASKED, 1, raw)  # type: ignore[arg-type]  # the stubs know text alone
