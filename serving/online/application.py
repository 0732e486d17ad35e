"""Application: the ranker of one process, with its own engine, Redis, models and columns.

Arrives: the environment's settings. Leaves: the ASGI application that uvicorn runs. Next: `serving.online.door`.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from serving.config import ServingConfig
from serving.followed_models import FollowedModels
from serving.online.catalogue_columns import CatalogueColumns
from serving.online.door import Door
from serving.online.following import Following
from serving.online.ranking import OnlineRanking
from serving.source import ShopSource
from stream.liveness import Liveness
from stream.worker.gc_tuning import collect_seldom

START_SECONDS = 20.0
"""After this time the door opens, and says what is missing. A stop signal has no effect before."""
SWITCH_SECONDS = 0.0005
"""How long the thread that follows may keep the interpreter from a ranking. Python's default is ten times that."""


class RankerApplication:
    """The door, and what it needs. It follows the models from the start of the server to its end."""

    def __init__(self, serving: ServingConfig, graphstore: GraphstoreConfig) -> None:
        self._engine = open_engine(graphstore.sqlalchemy_url)
        self._redis = open_redis(graphstore.redis_url)
        source, columns, liveness = ShopSource(self._engine), CatalogueColumns(), Liveness()
        models = FollowedModels(source, self._redis, trend_seconds=serving.trend_refresh_seconds, liveness=liveness)
        self._following = Following(models, columns, source, liveness=liveness)
        self._door = Door(
            OnlineRanking(lambda: models.models, columns),
            source.histories_of,
            ready=lambda: self._following.needs,
            patience_seconds=serving.ranker_timeout_ms / 1000,
            now=now_ms,
            life=self,
        )

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Answer a request."""
        await self._door(scope, receive, send)

    def start(self) -> None:
        """Load the models and the catalogue, as far as they are there.

        Until then, but not for ever, this process takes no connection: of several processes, one that is ready does.
        """
        self._following.start()
        self._following.begun.wait(START_SECONDS)
        collect_seldom()  # the catalogue's names are many objects: to visit them all takes as long as a ranking

    def close(self) -> None:
        """Stop following, and close the connections."""
        self._following.close()
        self._redis.close()
        self._engine.dispose()


def application() -> RankerApplication:
    """Return the application of this process, with the settings of its environment."""
    sys.setswitchinterval(SWITCH_SECONDS)
    return RankerApplication(ServingConfig(), GraphstoreConfig())
