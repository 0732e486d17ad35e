import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError, StatementError

from stream.worker.bisect import is_permanent, store_by_halves


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (DataError("s", {}, Exception()), True),
        (IntegrityError("s", {}, Exception()), True),
        (StatementError("a bind parameter", "s", {}, TypeError()), True),
        (OverflowError("Python int too large to convert to SQLite INTEGER"), True),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"), True),
        (OperationalError("s", {}, Exception()), False),
        (ProgrammingError("s", {}, Exception()), False),
        (TypeError("ours"), False),
    ],
)
def test_what_the_store_will_never_take(error: Exception, permanent: bool) -> None:
    assert is_permanent(error) is permanent


class Store:
    """Takes numbers, but not those of `poison`."""

    def __init__(self, *poison: int) -> None:
        self.poison = set(poison)
        self.taken: list[int] = []
        self.whole: list[bool] = []
        self.calls = 0

    async def __call__(self, part: Sequence[int], whole: bool) -> int:
        self.calls += 1
        self.whole.append(whole)
        if refused := self.poison & set(part):
            raise DataError("INSERT", {}, Exception(f"{min(refused)} is out of range"))
        self.taken += part
        return len(part)


def run(store: Store, events: Sequence[int]) -> tuple[list[int], list[tuple[int, str]]]:
    return asyncio.run(store_by_halves(events, store, on_refused=_nothing))


async def _nothing(_: Sequence[tuple[int, str]]) -> None:
    return


def test_a_good_batch_is_stored_as_one() -> None:
    store = Store()
    assert run(store, range(100)) == ([100], [])
    assert (store.calls, store.whole) == (1, [True])


def test_an_empty_batch_is_stored_too() -> None:
    store = Store()
    assert run(store, []) == ([0], [])
    assert store.whole == [True]


@pytest.mark.parametrize("poison", [(0,), (999,), (500,), (3, 4, 700), tuple(range(40, 60))])
def test_the_culprits_stand_alone_and_the_others_are_stored(poison: tuple[int, ...]) -> None:
    store = Store(*poison)
    results, refused = run(store, range(1000))
    assert [place for place, _ in refused] == list(poison)
    assert all(f"the store refused it: (builtins.Exception) {place} is out" in reason for place, reason in refused)
    assert store.taken == [n for n in range(1000) if n not in poison]
    assert sum(results) == len(store.taken)
    assert store.whole[0]
    assert not any(store.whole[1:])
    assert store.calls <= 1 + 2 * 10 * len(poison)


def test_the_search_waits_after_each_refused_event_and_then_goes_on() -> None:
    store, told = Store(3, 700), list[tuple[int, ...]]()

    async def wait(refused: Sequence[tuple[int, str]]) -> None:
        await asyncio.sleep(0)
        told.append(tuple(place for place, _ in refused))

    asyncio.run(store_by_halves(range(1000), store, on_refused=wait))
    assert told == [(3,), (3, 700)]
    assert len(store.taken) == 998


def test_other_errors_are_raised() -> None:
    async def broken(_: Sequence[int], __: bool) -> int:
        raise TypeError("ours")

    with pytest.raises(TypeError, match="ours"):
        asyncio.run(store_by_halves([1, 2], broken, on_refused=_nothing))
