import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, MessageSizeTooLargeError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, ProgrammingError

from stream.worker import retry
from stream.worker.retry import first_line, retry_until_reachable, service_of
from stream.worker.topic_status import TopicStatus

NOTHING = Exception("e")


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """As in the worker, a collection skips all that was there before: else it takes seconds in a long run of tests."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    ("error", "service"),
    [
        (OperationalError("s", {}, Exception("locked")), "database"),
        (RedisConnectionError("refused"), "redis"),
        (KafkaTimeoutError(), "kafka"),
        (KafkaConnectionError(), "kafka"),
        (MessageSizeTooLargeError(), None),
        (ResponseError("WRONGTYPE"), None),
        (IntegrityError("s", {}, NOTHING), None),
        (DataError("s", {}, NOTHING), None),
        (ProgrammingError("s", {}, NOTHING), None),
        (TypeError("ours"), None),
    ],
)
def test_what_is_worth_waiting_for(error: Exception, service: str | None) -> None:
    assert service_of(error) == service


def failing(*errors: Exception, seen: Callable[[], None] = lambda: None) -> Callable[[], Awaitable[int]]:
    left = list(errors)

    async def step() -> int:
        seen()
        if left:
            raise left.pop(0)
        return 7

    return step


def test_a_step_is_taken_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_FIRST_SECONDS", 0.001)
    standing, words = TopicStatus(["t"], lambda: 0), []
    standing.begin("t")
    away = OperationalError("SELECT", {}, Exception("connection refused\nat some host"))
    step = failing(away, RedisConnectionError("gone"), seen=lambda: words.append(standing.words()["t"]))
    assert asyncio.run(retry_until_reachable(step, doing="storing", topic="t", standing=standing)) == 7
    assert words == [
        "ok",
        "database: waiting 0 s: (builtins.Exception) connection refused",
        "redis: waiting 0 s: gone",
    ]
    assert standing.words()["t"] == "ok"


def test_waiting_grows_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    step = failing(*[KafkaTimeoutError()] * 8)
    asyncio.run(retry_until_reachable(step, doing="telling", topic="t", standing=TopicStatus(["t"], lambda: 0)))
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(waits) == retry.RETRY_MAX_SECONDS == waits[-1]


def test_other_errors_are_raised_at_once() -> None:
    step = failing(TypeError("ours"))
    with pytest.raises(TypeError, match="ours"):
        asyncio.run(retry_until_reachable(step, doing="storing", topic="t", standing=TopicStatus(["t"], lambda: 0)))


def test_the_first_line_is_without_the_statement() -> None:
    assert "INSERT" not in first_line(OperationalError("INSERT INTO t", {}, Exception("full")))


def test_a_failed_step_keeps_nothing_of_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_FIRST_SECONDS", 0.001)

    class Batch:
        """One that its own error holds, as aiokafka's does."""

        def __init__(self) -> None:
            self.error = KafkaTimeoutError(self)

    made: list[weakref.ref[Batch]] = []
    alive: list[int] = []

    async def step() -> None:
        alive.append(sum(one() is not None for one in made))
        if len(made) < 3:
            batch = Batch()
            made.append(weakref.ref(batch))
            raise batch.error

    gc.disable()  # the worker's collector runs seldom
    try:
        asyncio.run(retry_until_reachable(step, doing="telling", topic="t", standing=TopicStatus(["t"], lambda: 0)))
    finally:
        gc.enable()
    assert alive == [0, 0, 0, 0]
