"""The changes of items: numbered by one counter, bounded, and never missed by a reader that asks from its number."""

from redis import Redis

from graphstore.redis import changes
from graphstore.redis.changes import announce, changed_since


def change(redis: Redis, *item_keys: int) -> None:
    pipeline = redis.pipeline(transaction=False)
    announce(pipeline, item_keys)
    pipeline.execute()


def test_a_reader_hears_of_what_changed_after_its_number(redis: Redis) -> None:
    assert changed_since(redis, 0) == (0, [])
    change(redis, 7, 8)
    first, keys = changed_since(redis, 0)
    assert keys is None  # who knows nothing yet has nothing to keep
    change(redis, 8, 9)
    number, keys = changed_since(redis, first)
    assert keys == [8, 9]
    assert number == first + 2
    assert changed_since(redis, number) == (number, [])


def test_the_last_changes_are_kept(redis: Redis) -> None:
    change(redis, 1)
    first, _ = changed_since(redis, 0)
    change(redis, *range(changes.KEPT))
    assert len(changed_since(redis, first)[1] or []) == changes.KEPT
    change(redis, 1)
    assert changed_since(redis, first)[1] is None
    assert redis.zcard(changes.CHANGED) == changes.KEPT - 1  # the item 1 has a newer number now


def test_a_flush_is_a_change_of_everything(redis: Redis) -> None:
    change(redis, 1)
    number, _ = changed_since(redis, 0)
    redis.flushall()
    assert changed_since(redis, number) == (0, None)
