"""The catalogue that the dashboard searches."""

import pytest
from redis import Redis

from serving.dashboard import catalogue
from serving.dashboard.catalogue import Entry, search, write_catalogue

SHOP = [
    Entry("p-1", "Red wool scarf", 19.5, True),
    Entry("p-2", "Scarf of silk", None, False),
    Entry("wool", "A ball", 3.0, True),
    Entry("p-3", "Straße nach Köln", 7.0, True),
]


def ids(redis: Redis, query: str, **options: bool) -> list[str]:
    found = search(redis, query, limit=10, **options)
    assert found is not None
    return [entry.item_id for entry in found.entries]


def test_every_word_must_be_there_and_the_id_comes_first(redis: Redis) -> None:
    write_catalogue(redis, SHOP, total=4, now=7)
    assert ids(redis, "WOOL") == ["wool", "p-1"]
    assert ids(redis, "scarf") == ["p-2", "p-1"]
    assert ids(redis, "scarf red") == ["p-1"]
    assert ids(redis, "STRASSE") == ["p-3"]
    assert ids(redis, "hat") == []
    assert len(ids(redis, "")) == 4
    assert ids(redis, "scarf", available=True) == ["p-1"]
    assert ids(redis, "scarf", available=False) == ["p-2"]


def test_a_new_copy_replaces_the_old_one_and_is_never_seen_half(redis: Redis) -> None:
    assert search(redis, "x", limit=3) is None
    first = write_catalogue(redis, SHOP, total=4, now=7)
    second = write_catalogue(redis, SHOP[:1], total=9, now=8)
    assert ids(redis, "") == ["p-1"]
    assert catalogue.current(redis) == second and second.total == 9 and second.made_at == 8
    assert 0 < int(redis.ttl(catalogue.chunk_key(first.name, 0))) <= catalogue.OLD_COPY_SECONDS
    assert redis.ttl(catalogue.chunk_key(second.name, 0)) == -1


def test_a_large_shop_is_bounded_and_says_so(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MAX_ITEMS", 5_000)
    made = write_catalogue(
        redis, (Entry(f"i{n}", f"thing {n:05}", 1.0, True) for n in range(9_000)), total=9_000, now=1
    )
    assert (made.items, made.chunks, made.total) == (5_000, 3, 9_000)
    found = search(redis, "thing", limit=2)
    assert found is not None
    assert found.matches == 5_000
    assert [entry.item_id for entry in found.entries] == ["i0", "i1"]


def test_what_somebody_else_wrote_counts_as_absent(redis: Redis) -> None:
    made = write_catalogue(redis, SHOP, total=4, now=7)
    redis.set(catalogue.chunk_key(made.name, 0), b"\xff")
    assert ids(redis, "") == []
    redis.set(catalogue.POINTER, b"{}")
    assert search(redis, "", limit=3) is None
