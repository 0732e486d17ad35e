"""Credit windows: how long after a list a click or a purchase is still credited to it.

A module of its own, because every process reads the settings' defaults, also one without a database.
"""

from dataclasses import dataclass

CLICK_SECONDS = 86_400.0
CONVERSION_SECONDS = 7 * 86_400.0


@dataclass(frozen=True)
class CreditWindows:
    """How long before an event its list may have been served."""

    click_seconds: float = CLICK_SECONDS
    conversion_seconds: float = CONVERSION_SECONDS

    def milliseconds(self, *, purchase: bool) -> int:
        """Return the window of a purchase, or of another event."""
        return round(1000 * (self.conversion_seconds if purchase else self.click_seconds))

    @property
    def longest(self) -> int:
        """The longest window in milliseconds."""
        return round(1000 * max(self.click_seconds, self.conversion_seconds))
