"""Lifetime: when Redis forgets a shopper who does not come any more.

The keys of a shopper (`recent:`, `seen:`, `bought:`) live for the visitor days after the last event has arrived, those
of `shown:` after the last list. The rule is the same for everybody: nothing in the events tells an anonymous visitor
from a shop's customer, and what Redis forgets comes back from SQL with the next event. The arrival counts
(`interactions.ingest_time`), so that a rebuild keeps whom the live path keeps. Rejected: the time of the event, because
an imported history of last year would never be there.
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

    def left_ms(self, arrived_at: int) -> int:
        """Return how long a shopper is still remembered whose last event arrived then (epoch ms); 0: not any more."""
        return max(0, arrived_at + self.life_ms - self.now)
