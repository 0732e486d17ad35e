"""Visit: the shopper of one call, and what Redis has said of them so far.

Arrives: a user id, or None for a session that nobody stores. Leaves: the shopper's lists and history, each read once
and only when a slot needs it. Next: `serving.slots.draft`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from graphstore.redis import hot
from graphstore.redis.shopper import NOBODY, ShopperMemory, read_memory
from serving.cache import PackedList
from serving.storefront import Storefront
from stream.events import milliseconds


@dataclass
class Visit:
    """One shopper at one time, for all lists of a call."""

    store: Storefront
    user_id: str | None
    now: datetime
    taken: set[str] = field(default_factory=set)
    """Item ids and product ids that an earlier list of the call shows."""
    _stored: dict[str, tuple[str, PackedList] | None] = field(default_factory=dict)

    @cached_property
    def now_ms(self) -> int:
        """The time of the call (epoch ms)."""
        return milliseconds(self.now)

    def stored(self, version: str) -> tuple[str, PackedList] | None:
        """Return the shopper's newest list of a model with its source, None for a stranger or without a model."""
        if self.user_id is None or not version:
            return None
        if version not in self._stored:
            self._stored[version] = self.store.lists.of_user(version, self.user_id)
        return self._stored[version]

    @cached_property
    def memory(self) -> ShopperMemory:
        """What the shopper touched and bought last, and how often they were shown what."""
        return NOBODY if self.user_id is None else read_memory(self.store.redis, self.user_id, now=self.now_ms)

    @cached_property
    def seen(self) -> set[str]:
        """Every item that the shopper touched."""
        return set() if self.user_id is None else hot.seen(self.store.redis, self.user_id)
