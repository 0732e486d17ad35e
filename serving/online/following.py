"""Following: keeps the models and the catalogue's columns of a ranker up to date, in a thread of its own.

Arrives: pointer and routing, bundles, the newest counts, changed and new items (`serving.followed_models`), and the
table of items. Leaves: models and columns for `serving.online.ranking`, which goes on with those it has while SQL or
Redis is away. Next: `serving.online.door` tells `/readyz` what is missing.

Changed items reach the columns through Redis within a second. Redis may lose its keys: so all items are read in turn,
too, some a round, and what was missed is there after one turn. Rejected: to read all of them at once each minute, which
would hold up rankings for a second in a large shop.
"""

import logging
import threading

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from graphstore.errors import UserError, reason
from serving.followed_models import FollowedModels
from serving.online.catalogue_columns import CatalogueColumns
from serving.source import ShopSource
from stream.liveness import Liveness, Watchdog
from stream.probe import FIRST_MODEL, OK

logger = logging.getLogger(__name__)

ROUND_SECONDS = 0.25
TURN_ITEMS = 250
"""The items that one round reads again."""
FIRST_ITEMS = 5_000
"""The items that one read takes until all were read once."""
STOP_SECONDS = 3.0
"""A database that hangs must not hold up the end of the process."""
STARTING = "not yet looked for"


class Following:
    """The thread. `needs` are its words for `/readyz`: the model, and the catalogue."""

    def __init__(
        self, models: FollowedModels, columns: CatalogueColumns, source: ShopSource, *, liveness: Liveness
    ) -> None:
        self._models = models
        self._columns = columns
        self._source = source
        self._liveness = liveness
        models.on_changed = columns.take
        self._after = 0
        self.needs = {"model": STARTING, "catalogue": "being read"}
        self.begun = threading.Event()
        """Set after the first round, whether it went well or not."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="following", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the round in hand."""
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def round(self) -> None:
        """Do what is due. Raises the errors of SQL, Redis and the champion's load."""
        self._liveness.beat("following the models")
        while not self._columns.whole:
            self._liveness.beat("reading the catalogue")
            self._read_items(FIRST_ITEMS)
        self.needs["catalogue"] = OK
        self._models.follow()
        self._models.freshen()
        self.needs["model"] = OK if self._models.models else FIRST_MODEL
        self._read_items(TURN_ITEMS)

    def _read_items(self, limit: int) -> None:
        items = self._source.items_after(self._after, limit)
        self._columns.take(items)
        self._after = items[-1].item_key if len(items) == limit else 0
        self._columns.whole = self._columns.whole or not self._after

    def _run(self) -> None:
        watchdog = Watchdog(self._liveness)
        try:
            while True:
                try:
                    self.round()
                except (SQLAlchemyError, RedisError, OSError, UserError, ValueError, ArithmeticError) as error:
                    said = reason(error)
                    if self.needs["model"] != said:
                        logger.warning("the ranker goes on with what it has: %s", said, exc_info=error)
                    self.needs["model"] = said
                self.begun.set()
                if self._stop.wait(ROUND_SECONDS):
                    return
        finally:
            watchdog.close()
