"""Retry: decides whether a failed call is sent again, and after which pause.

The server's own word (`Retry-After`) counts. Without one the pause grows twofold, with full jitter: a random part of
it, so that clients which failed together do not come back together
(https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from dataclasses import dataclass

from serving.client.call import Repeat
from serving.client.errors import SagestreamError, Temporary


@dataclass(frozen=True)
class Retry:
    """How often and how long a call is tried. `tries` 1: once.

    `patience_seconds` bounds a call with all its tries: when the next try would come later, the error is raised at
    once. A page that cannot wait gives less patience.
    """

    tries: int = 4
    first_seconds: float = 0.1
    most_seconds: float = 5.0
    patience_seconds: float = 10.0

    def backoff(self, tried: int, *, draw: float) -> float:
        """Return the pause after `tried` tries, for a random `draw` from 0 to 1."""
        whole: float = min(self.most_seconds, self.first_seconds * 2.0 ** min(tried - 1, 30))
        return draw * whole

    def pause(self, error: SagestreamError, repeat: Repeat, *, tried: int, spent: float, draw: float) -> float | None:
        """Return the seconds until the next try, None when there is none.

        Args:
            error: Why the last try failed.
            repeat: When the call may be sent again.
            tried: How often it was sent.
            spent: Seconds since the first try began.
            draw: A random number from 0 to 1.
        """
        if not isinstance(error, Temporary) or tried >= self.tries:
            return None
        if repeat is Repeat.UNTOUCHED and not error.untouched:
            return None
        told = error.retry_after
        # Jitter on top of the server's word: it tells all clients the same.
        pause = self.backoff(tried, draw=draw) + (told or 0.0)
        return pause if spent + pause <= self.patience_seconds else None
