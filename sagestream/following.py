"""Following: lets readers follow a change of the registry at once, from a verb.

Arrives: a database that a verb has changed. Leaves: the new pointer and routing in Redis, or a line that says why not.
Next: `serving.recommend` reads them. The registry has decided, so no failure here matters: the publisher switches
later.
"""

from redis.exceptions import RedisError
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.errors import reason
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms
from sagestream.error_messages import message
from sagestream.stages import Stages
from serving.switch import follow

REDIS_SECONDS = 3.0
"""The wait for Redis: the publisher switches where this process cannot."""


def followed(engine: Engine, stages: Stages) -> bool:
    """Let readers follow the registry and return whether they do."""
    redis = open_redis(GraphstoreConfig().redis_url, timeout_seconds=REDIS_SECONDS)
    try:
        return follow(engine, redis, now=now_ms()) is not None
    except RedisError as error:
        stages.say((f"not switched, {message(error) or reason(error)}", "yellow"), ". The publisher switches later")
        return False
    finally:
        redis.close()
