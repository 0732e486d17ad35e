"""Visit: the shopper of one call, and what Redis has said of them so far.

Arrives: a user id, or None for a session that nobody stores. Leaves: the shopper's lists and history, each read once
and only when a slot needs it. Next: `serving.slots.draft`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from graphstore.redis import hot, shown
from graphstore.redis.corrupt import readable_scores
from serving.cache import PackedList, near_key, newer, readable, recs_key
from serving.storefront import Storefront
from stream.events import milliseconds

StoredList = tuple[str, PackedList]
"""A list with its source."""


@dataclass
class Visit:
    """One shopper at one time, for all lists of a call."""

    store: Storefront
    user_id: str | None
    now: datetime
    taken: set[str] = field(default_factory=set)
    """Item ids and product ids that an earlier list of the call shows."""
    _stored: dict[str, StoredList | None] = field(default_factory=dict)
    _bought: dict[str, int] | None = None
    _shown: dict[str, int] | None = None

    @cached_property
    def now_ms(self) -> int:
        """The time of the call (epoch ms)."""
        return milliseconds(self.now)

    def stored(self, version: str) -> StoredList | None:
        """Return the shopper's newest list of a model, None for a stranger or without a model."""
        if self.user_id is None or not version:
            return None
        if version not in self._stored:
            self._stored[version] = self.store.lists.of_user(version, self.user_id)
        return self._stored[version]

    def read_together(self, version: str, *, bought: bool, shown_before: bool) -> None:
        """Read the list and what the rules need of the shopper in one round trip. What was read is not read again."""
        wants_bought, wants_shown = bought and self._bought is None, shown_before and self._shown is None
        if self.user_id is None or not (wants_bought or wants_shown):
            return
        keys = [recs_key(version, self.user_id), near_key(version, self.user_id)]
        bought_key, shown_key = hot.bought_key(self.user_id), hot.shown_key(self.user_id)
        wants_list = bool(version) and version not in self._stored
        pipeline = self.store.redis.pipeline(transaction=False)
        if wants_list:
            pipeline.mget(keys)
        if wants_bought:
            pipeline.zrange(bought_key, 0, -1, withscores=True)
        if wants_shown:
            pipeline.hgetall(shown_key)
        answers = iter(pipeline.execute())
        if wants_list:
            batch, near = (readable(key, raw) for key, raw in zip(keys, next(answers), strict=True))
            self._stored[version] = newer(batch, near)
        if wants_bought:
            self._bought = {item: int(time) for item, time in readable_scores(bought_key, next(answers))}
        if wants_shown:
            self._shown = shown.counts(shown_key, next(answers), now=self.now_ms)

    @property
    def bought(self) -> dict[str, int]:
        """The time (epoch ms) of the shopper's last purchase by item."""
        self.read_together("", bought=True, shown_before=False)
        return self._bought or {}

    @property
    def shown(self) -> dict[str, int]:
        """How often each item was shown to the shopper since they last did something with it."""
        self.read_together("", bought=False, shown_before=True)
        return self._shown or {}

    @cached_property
    def recent(self) -> list[tuple[str, int]]:
        """The items that the shopper touched last, newest first, with the time (epoch ms)."""
        return [] if self.user_id is None else hot.recent(self.store.redis, self.user_id, hot.RECENT_ITEMS)

    @cached_property
    def seen(self) -> set[str]:
        """Every item that the shopper touched."""
        return set() if self.user_id is None else hot.seen(self.store.redis, self.user_id)
