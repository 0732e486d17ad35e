"""The marks of a rebuild in Redis: whether the hot keys are complete, and who rebuilds them.

Arrives: nothing. Leaves: the names of the keys. Next: `graphstore.redis.rebuild` and `graphstore.redis.fence`.
"""

COMPLETE = "hot:complete:2"
"""The time (epoch ms) of the last complete rebuild. Missing: Redis was flushed or never filled, or by an older version.

The number rises with what the hot keys hold, so that the first worker of a new version rebuilds them: since 2 there are
`bought:` and `shown:`, and keys expire."""

LOCK = "hot:rebuilding"
"""Held by the process that rebuilds; it expires after a kill."""
