"""Lifetime: when Redis forgets a shopper who does not come any more.

A key of a shopper (`recent:`, `seen:`, `bought:`, `shown:`) lives for the visitor days after the last event. The rule
is the same for everybody: nothing in the events tells an anonymous visitor from a shop's customer, and what Redis
forgets comes back from SQL with the next event. It depends on the times of events alone, so the live path, a rebuild
and the comparison agree which keys there are.
"""

from typing import NamedTuple

VISITOR_DAYS = 30
DAY_MS = 86_400_000


class Lifetime(NamedTuple):
    """The rule at one moment: `now` is epoch ms."""

    now: int
    days: int = VISITOR_DAYS

    @property
    def life_ms(self) -> int:
        """Return the life of a key after the last event, in milliseconds."""
        return self.days * DAY_MS

    def is_over(self, last_event: int) -> bool:
        """Return whether a shopper with this last event (epoch ms) is forgotten."""
        return last_event + self.life_ms <= self.now
