"""Following: lets readers follow a change of the registry at once, from a verb that made the change.

Arrives: a registry that has changed. Leaves: pointer and routing in Redis, if the lists for them are there. Next: the
verb says whether readers follow already. If not, the publisher does it later, so nothing here is an error.
"""

from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from graphstore.config import GraphstoreConfig
from graphstore.errors import reason
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms
from sagestream.error_messages import message
from sagestream.stages import Stages
from serving.switch import follow

if TYPE_CHECKING:
    from sqlalchemy import Engine

REDIS_SECONDS = 3.0
"""The longest wait for Redis, because the publisher switches where a verb cannot."""


def readers_follow(engine: "Engine", stages: Stages) -> bool:
    """Let readers follow the registry and return whether they do."""
    redis = open_redis(GraphstoreConfig().redis_url, timeout_seconds=REDIS_SECONDS)
    try:
        return follow(engine, redis, now=now_ms()) is not None
    except RedisError as error:
        stages.say((f"not switched, {message(error) or reason(error)}", "yellow"), ". The publisher switches later")
        return False
    finally:
        redis.close()
