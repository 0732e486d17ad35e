"""Request: one list that a door asks for, with everything that decides what stands in it.

Arrives: parameters or a body, checked by `serving.web`. Leaves: a `ListRequest`. Next: `serving.recommend.serve`.
"""

from dataclasses import dataclass

from serving.online.protocol import SessionEvent
from serving.rules.criteria import NO_CRITERIA, Criteria
from serving.slots.defaults import PLAIN
from serving.slots.slot import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRequest:
    """One list for one place.

    Without a `user_id` nothing of the request is stored: the list gets no impression, and only what the request brings
    decides what is in it.
    """

    slot: Slot = PLAIN
    name: str | None = None
    """The name of the slot. None: the list is not shown, so it is neither explored nor logged."""
    k: int
    user_id: str | None = None
    criteria: Criteria = NO_CRITERIA
    """On top of the slot's own."""
    session: tuple[SessionEvent, ...] = ()
    """What the shopper just did, oldest first."""
    cart: tuple[str, ...] = ()
    """Item ids. They are not offered, unless the slot says so."""
    items: tuple[str, ...] = ()
    """Of `similar` and `bought_together`: the items that the list is about. Of other kinds: the only items that may be
    in the list, for example search results to put into the shopper's order."""
    category: str = ""
    """Of `category`, `trending` and `best_sellers`. Empty: the slot's own, or all."""
    window: str = ""
    """Of `trending` and `best_sellers`. Empty: the slot's own."""
    explain: bool = False
    """Give a reason and evidence for each item."""
    request_id: str | None = None
    """The id of the answer, and the seed of its exploration. None: a new one is made."""

    @property
    def in_category(self) -> str:
        """Return the category of the list, "" for all."""
        return self.category or self.slot.category

    @property
    def in_window(self) -> str:
        """Return how far back counts go."""
        return self.window or self.slot.window
