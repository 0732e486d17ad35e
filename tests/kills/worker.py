"""The worker under test: the product's own, in a process of its own, which may kill itself at a chosen instruction.

Arrives: settings, where to log, perhaps a fault. Leaves: nothing; the product is composed by `runners.run_worker`, and
knows nothing of kills. The points are reached through the libraries that it stands on (SQLAlchemy's events, redis-py's
pipeline, aiokafka's producer and consumer) and through the public methods of `Sink` and `Worker`; a name that is no
longer there stops the worker at its start.
"""

import functools
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiokafka
import faust
import psycopg  # noqa: F401 - imported once, in the server
from redis import Redis
from redis.client import Pipeline
from sqlalchemy import Engine, event

from graphstore.logs import set_up_logging
from sagestream import runners
from sagestream.playground.processes import die_with_parent
from stream.worker.sink import Sink
from stream.worker.worker import Worker
from tests.kills.points import Fault, Point

UP = "the worker has started"
"""Written to the log by each life of a worker that came so far."""

RECENT_ITEMS = 20
"""Fewer than the load's items, so that the trimming of `recent:` is under test too."""

Reach = Callable[[Point], None]


def main(environment: Mapping[str, str], log: Path, fault: Fault | None) -> None:
    """The whole life of one worker process."""
    die_with_parent(signal.SIGKILL)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in os.environ if name.startswith("SAGESTREAM_")]:
        del os.environ[name]
    os.environ.update(environment)
    if fault is not None:
        arm(fault)
    _replace(faust.Worker, "on_startup_finished", _telling)
    set_up_logging()
    runners.run_worker(recent_items=RECENT_ITEMS)


def _telling(finished: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(finished)
    async def telling(worker: faust.Worker) -> None:
        await finished(worker)
        os.write(1, f"{UP}\n".encode())

    return telling


def arm(fault: Fault) -> None:
    """Make this process kill, or halt, itself at the fault's point."""
    passed = 0

    def reach(point: Point) -> None:
        nonlocal passed
        if point == fault.point:
            passed += 1
            if passed == fault.passes:
                os.kill(os.getpid(), fault.number)

    storing = _watch_sink(reach)
    _watch_sql(reach, storing)
    _watch_redis(reach, storing)
    _watch_kafka(reach)


def _watch_sink(reach: Reach) -> Callable[[], int]:
    """Before SQL and after Redis; the answer is the number of the batch that is being stored right now, else 0."""
    batches, current = 0, 0

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def store(*args: Any, **named: Any) -> Any:
            nonlocal batches, current
            reach(Point.BEFORE_SQL)
            batches += 1
            current = batches
            try:
                stored = method(*args, **named)
            finally:
                current = 0
            reach(Point.AFTER_REDIS)
            return stored

        return store

    _replace(Sink, "store_", watched)
    return lambda: current


def _watch_sql(reach: Reach, storing: Callable[[], int]) -> None:
    @event.listens_for(Engine, "after_cursor_execute")
    def executed(*_: Any) -> None:
        if storing():
            reach(Point.IN_SQL)

    @event.listens_for(Engine, "commit")
    def committing(*_: Any) -> None:
        if storing():
            reach(Point.BEFORE_COMMIT)


def _watch_redis(reach: Reach, storing: Callable[[], int]) -> None:
    """Before the first command of a batch, and after each call to Redis; a pipeline is cut in two."""
    command, execute = Redis.execute_command, Pipeline.execute
    begun = 0

    def calling(batch: int) -> None:
        nonlocal begun
        if batch != begun:
            begun = batch
            reach(Point.AFTER_COMMIT)

    def watched(redis: Any, *args: Any, **named: Any) -> Any:
        if not (batch := storing()):
            return command(redis, *args, **named)
        calling(batch)
        answer = command(redis, *args, **named)
        reach(Point.IN_REDIS)
        return answer

    def halved(pipeline: Any, *args: Any, **named: Any) -> Any:
        if not (batch := storing()) or not pipeline.command_stack:
            return execute(pipeline, *args, **named)
        calling(batch)
        commands = list(pipeline.command_stack)
        half = 0 if pipeline.explicit_transaction or pipeline.transaction else len(commands) // 2
        first = []
        if half:  # a transaction stays whole
            pipeline.command_stack = commands[:half]
            first = execute(pipeline, *args, **named)
            reach(Point.IN_REDIS)
            pipeline.command_stack = commands[half:]
        rest = execute(pipeline, *args, **named)
        reach(Point.IN_REDIS)
        return first + rest

    Redis.execute_command = watched  # type: ignore[method-assign]
    Pipeline.execute = halved  # type: ignore[method-assign]


def _watch_kafka(reach: Reach) -> None:
    commit = aiokafka.AIOKafkaConsumer.commit

    def announced(send: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(send)
        async def announcing(*args: Any, **named: Any) -> Any:
            reach(Point.ANNOUNCING)
            return await send(*args, **named)

        return announcing

    @functools.wraps(commit)
    async def committing(*args: Any, **named: Any) -> Any:
        reach(Point.COMMITTING)
        await commit(*args, **named)
        reach(Point.COMMITTED)

    def watched(handle: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(handle)
        async def handled(*args: Any, **named: Any) -> Any:
            result = await handle(*args, **named)
            reach(Point.ANNOUNCED)
            return result

        return handled

    _replace(aiokafka.AIOKafkaProducer, "send", announced)
    aiokafka.AIOKafkaConsumer.commit = committing
    _replace(Worker, "on_", watched)


def _replace(owner: type, prefix: str, watched: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    names = [name for name in vars(owner) if name.startswith(prefix)]
    if not names:
        raise LookupError(f"{owner.__module__}.{owner.__qualname__} has no method {prefix}…: the kill points moved")
    for name in names:
        setattr(owner, name, watched(getattr(owner, name)))
