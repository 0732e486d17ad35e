"""The marks of a rebuild in Redis: whether the hot keys are complete, and who rebuilds them.

Arrives: nothing. Leaves: the names of the keys. Next: `graphstore.redis.rebuild` and `graphstore.redis.fence`.
"""

COMPLETE = "hot:complete"
"""The time (epoch ms) of the last complete rebuild. Missing: Redis was flushed or never filled."""

LOCK = "hot:rebuilding"
"""Held by the process that rebuilds; it expires after a kill."""
