"""Progress lines: the part of a job's progress that a log gets, which has no bar.

Arrives: each line of the progress with its share. Leaves: a few of them. Next: `sagestream.stages.Stages.say`.
"""

import re
from collections.abc import Callable

STAGE_SECONDS = 5.0
"""Least time between two lines when a new stage has begun."""
LINE_SECONDS = 30.0
"""Least time between two lines of the same stage."""


class ProgressLines:
    """Passes a line on when a new stage begins, and now and then within a long one.

    Lines are of the same stage when they differ only in numbers: `step 50`, `step 100`.

    Args:
        say: Gets the lines that are passed on.
        whole: What the share is of, such as "all fits".
        now: The time in seconds, from any origin.
    """

    def __init__(self, say: Callable[[str], None], *, whole: str, now: Callable[[], float]) -> None:
        self._say = say
        self._whole = whole
        self._now = now
        self._said = now()
        self._stage = ""

    def always(self, line: str, share: float) -> None:
        """Pass a line on, however short the time since the last one."""
        self._said, self._stage = self._now(), _stage(line)
        self._say(f"{line} · {share:.0%} of {self._whole}")

    def __call__(self, line: str, share: float) -> None:
        """Pass a line on when it is time for one."""
        wait = LINE_SECONDS if _stage(line) == self._stage else STAGE_SECONDS
        if self._now() - self._said >= wait:
            self.always(line, share)


def _stage(line: str) -> str:
    return re.sub(r"[\d.,]+", "", line)
