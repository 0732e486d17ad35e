"""Show: composes the pages of the dashboard and writes them to Redis, each at its own pace.

Arrives: stored figures in SQL, the surroundings, the last reports of experiments. Leaves: `dash:page:{name}` and the
catalogue's copy in Redis. Next: `serving.dashboard.store` hands the pages to the web process.

Redis that is away is logged and counted, and the next pass tries again: it must never fail a pass, because everything
else that the monitor does needs SQL alone.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from graphstore.errors import reason
from graphstore.redis import errands
from graphstore.session import read
from monitoring import metrics
from monitoring.dashboard import drift, experiments, funnel, items, models, operations, overview, slots, traffic
from monitoring.dashboard.catalogue import Version, copy_catalogue
from monitoring.dashboard.problems import find_problems
from monitoring.dashboard.surroundings import Surroundings
from monitoring.experiments import Report
from serving.dashboard.blocks import Page
from serving.dashboard.store import write_page

logger = logging.getLogger(__name__)

PACE_SECONDS = {
    "overview": 10.0,
    "operations": 10.0,
    "traffic": 60.0,
    "funnel": 60.0,
    "slots": 60.0,
    "drift": 60.0,
    "models": 30.0,
    "experiments": 60.0,
    "items": 300.0,
}
"""The least time between two writes of a page. Days and weeks move slower than the last hour."""

CATALOGUE_SECONDS = 300.0
"""The least time between two looks whether the catalogue has changed."""

FAULT_SECONDS = 300.0
"""A page that could not be composed is tried again after this time."""


class Dashboard:
    """Writes the pages that are due. `timer` is in seconds; `surroundings` returns what is known beside SQL.

    `pace_seconds` names the pages to write, with the least time between two writes.
    """

    def __init__(
        self,
        engine: Engine,
        redis: Redis,
        *,
        surroundings: Callable[[], Surroundings] = Surroundings,
        pace_seconds: Mapping[str, float] = PACE_SECONDS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._surroundings = surroundings
        self._timer = timer
        self._pace_seconds = pace_seconds
        self._due = dict.fromkeys((*pace_seconds, "catalogue"), float("-inf"))
        self._version: Version | None = None
        self._away = False

    def show(self, reports: Sequence[Report] = (), *, now: int) -> list[str]:
        """Write the pages that are due at `now` (epoch ms); return their names.

        `reports` are the last reports of the running experiments. Errors of the database are raised.
        """
        began = self._timer()
        due = [name for name in self._pace_seconds if began >= self._due[name]]
        written: list[str] = []
        try:
            for name in due:
                page = self._page(name, reports, began=began, now=now)
                if page is not None:
                    write_page(self._redis, page)
                    self._due[name] = began + self._pace_seconds[name]
                    written.append(name)
            if began >= self._due["catalogue"]:
                with read(self._engine) as connection:
                    self._version = copy_catalogue(connection, self._redis, self._version, now=now)
                self._due["catalogue"] = began + CATALOGUE_SECONDS
        except RedisError as error:
            metrics.DASHBOARD_PAGES.labels("failed").inc()
            if not self._away:
                logger.warning("the dashboard's pages wait for Redis: %s", reason(error))
            self._away = True
        else:
            self._away = False
        metrics.DASHBOARD_PAGES.labels("written").inc(len(written))
        return written

    def _page(self, name: str, reports: Sequence[Report], *, began: float, now: int) -> Page | None:
        """Compose a page. A fault in one page is told, and the page keeps what it showed: the monitor also watches
        probations, which must go on."""
        try:
            with read(self._engine) as connection:
                return self._compose(connection, name, reports, now)
        except (DBAPIError, RedisError):
            raise
        except Exception:
            logger.exception("the page %s of the dashboard could not be composed", name)
            metrics.DASHBOARD_PAGES.labels("faulty").inc()
            self._due[name] = began + FAULT_SECONDS
            return None

    def _compose(self, connection: Connection, name: str, reports: Sequence[Report], now: int) -> Page:
        if name == "overview":
            problems = find_problems(connection, self._surroundings(), reports, now=now)
            return overview.compose(connection, problems, now=now)
        if name == "operations":
            return operations.compose(connection, self._surroundings(), errands.newest(self._redis), now=now)
        if name == "experiments":
            return experiments.compose(connection, now=now, reports=reports)
        if name == "items":
            return items.compose(connection, self._redis, now=now)
        return _PLAIN[name](connection, now=now)


_PLAIN: dict[str, Callable[..., Page]] = {
    "traffic": traffic.compose,
    "funnel": funnel.compose,
    "slots": slots.compose,
    "models": models.compose,
    "drift": drift.compose,
}
