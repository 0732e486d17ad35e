"""The fence: Redis refuses hot keys that were computed before the newest change of identities.

Arrives: the generation of identities (`graphstore.tables.PEOPLE_GENERATION`) at which a writer read SQL. Leaves:
`hot:generation` in Redis, and `Overtaken` for a writer that read an older generation. Next: `graphstore.redis.hot`,
whose scripts compare both numbers in the same step as they write.

A login or an erasure raises the fence after its SQL commit and before it corrects the keys. So a write for the former
person of a session comes before the correction, or it is refused. This is a fencing token (Kleppmann, "How to do
distributed locking", 2016).
"""

import logging
from typing import cast

from redis import Redis

from graphstore.redis.marks import COMPLETE

logger = logging.getLogger(__name__)

FENCE = "hot:generation"
"""The newest generation of identities that Redis was told. Missing means 0."""

OPEN = 2**53
"""A generation that no fence refuses, for content that depends on no identity."""

_RAISE = """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then redis.call('SET', KEYS[1], ARGV[1]) end
"""
_LOWER = """
if tonumber(redis.call('GET', KEYS[1]) or 0) ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return redis.call('DEL', KEYS[2])
"""


class Overtaken(Exception):
    """Identities changed after the writer read SQL. `fence` is the generation that Redis asks for."""

    def __init__(self, fence: int) -> None:
        super().__init__(f"Redis takes only content of generation {fence} or later")
        self.fence = fence


def check(answer: object) -> None:
    """Raise `Overtaken` when a script answered with a generation instead of 0."""
    if fence := int(cast("int", answer)):
        raise Overtaken(fence)


def raise_to(redis: Redis, generation: int) -> None:
    """Refuse content of earlier generations from now on. The fence never falls here."""
    if generation:
        redis.register_script(_RAISE)(keys=[FENCE], args=[generation])


def lower(redis: Redis, overtaken: Overtaken, generation: int) -> None:
    """Accept SQL of an earlier generation than Redis knows, and ask for a rebuild: a backup was restored."""
    logger.warning(
        "SQL is at generation %d of identities, Redis at %d: an older database was put in place; Redis is rebuilt",
        generation,
        overtaken.fence,
    )
    redis.register_script(_LOWER)(keys=[FENCE, COMPLETE], args=[overtaken.fence, generation])
