"""Buffer: tells events in the background, in a thread or in a task of asyncio, so that no page waits for it.

Arrives: events, one by one. Leaves: batches at `/events/`. Next: the server, which counts each event once.

Events wait in memory: a process that is killed loses what it has not told. `close` tells what waits and returns the
rest, which a shop may keep: some of it may have arrived, but told again it counts once. Whoever needs more calls
`events` and waits for its answer. The client is closed after its buffer.
"""

import asyncio
import atexit
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from serving.client.answers import RefusedPart, Taken
from serving.client.errors import SagestreamError
from serving.client.told import Event
from serving.client.waiting import BufferFull, Limits, Waiting
from stream.events import encode

__all__ = ["AsyncEventBuffer", "BufferFull", "EventBuffer", "Limits"]

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 10.0

OnRefused = Callable[[Event, RefusedPart], object]


class _Buffer:
    """What both kinds have in common. `on_refused` hears of each event that the server refuses."""

    def __init__(self, limits: Limits) -> None:
        self.on_refused: OnRefused | None = None
        self.refused = 0
        self._waiting = Waiting(limits)
        self._hurry = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def _take(self, event: Event) -> None:
        if self._closed:
            raise RuntimeError("this buffer is closed")
        encode(event)  # what cannot be written would stop all events behind it
        self._waiting.add(event, now=time.monotonic())

    def _settle(self, batch: Sequence[Event], result: Taken | SagestreamError) -> list[tuple[Event, RefusedPart]]:
        was_failing = self._waiting.failing
        refused = self._waiting.settle(batch, result, now=time.monotonic())
        if self._waiting.failing and not was_failing:  # once for each outage
            logger.warning("events cannot be told, %d wait: %s", len(self._waiting), result)
        return refused

    def _report(self, refused: Sequence[tuple[Event, RefusedPart]]) -> None:
        if not refused:
            return
        self.refused += len(refused)
        logger.warning("%d events were refused, the first one: %s", len(refused), refused[0][1].reason)
        if self.on_refused is None:
            return
        for event, part in refused:
            try:
                self.on_refused(event, part)
            except Exception:  # the shop's own code must not end what tells all other events
                logger.exception("on_refused has failed")

    def _rest(self) -> list[Event]:
        rest = self._waiting.rest()
        if rest:
            logger.error("%d events were not told before the end", len(rest))
        return rest


class EventBuffer(_Buffer):
    """Tells events from a thread of its own, which begins with the first event. Threads may share it."""

    def __init__(self, tell: Callable[[Sequence[Event]], Taken], limits: Limits) -> None:
        super().__init__(limits)
        self._tell = tell
        self._changed = threading.Condition()  # guards all below and what waits
        self._telling = False
        self._thread: threading.Thread | None = None

    def add(self, event: Event) -> None:
        """Take an event and return at once. Raises `BufferFull`, `RuntimeError` when it is closed, and what msgspec
        raises for an event that cannot be written."""
        with self._changed:
            self._take(event)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sagestream-events", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify_all()

    def flush(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Tell what waits now; whether all of it left in time, and `on_refused` has heard of what was refused."""
        with self._changed:
            self._hurry = len(self._waiting) > 0
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not self._waiting and not self._telling, timeout_seconds)

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> list[Event]:
        """Tell what waits, and end. Return the events that were not told in time."""
        self.flush(timeout_seconds)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            atexit.unregister(self.close)
            return self._rest()

    def _run(self) -> None:
        while True:
            with self._changed:
                due = self._waiting.due_in(time.monotonic(), hurry=self._hurry)
                while (due is None or due > 0) and not self._closed:
                    self._changed.wait(due)
                    due = self._waiting.due_in(time.monotonic(), hurry=self._hurry)
                if self._closed:
                    return
                batch, self._telling = self._waiting.batch(), True
            result: Taken | SagestreamError
            try:
                result = self._tell(batch)
            except SagestreamError as error:
                result = error
            except Exception as error:  # a closed client, or a fault: whatever it is, the events stay
                logger.exception("telling events has failed")
                result = SagestreamError(repr(error))
            with self._changed:
                refused = self._settle(batch, result)
                self._hurry = self._hurry and len(self._waiting) > 0
            self._report(refused)  # without the lock: the shop's function may take its time
            with self._changed:
                self._telling = False
                self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncEventBuffer(_Buffer):
    """Tells events from a task, which begins with the first event."""

    def __init__(self, tell: Callable[[Sequence[Event]], Awaitable[Taken]], limits: Limits) -> None:
        super().__init__(limits)
        self._tell = tell
        self._changed = asyncio.Event()
        self._empty = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: Event) -> None:
        """Take an event and return at once. Raises `BufferFull`, `RuntimeError` when it is closed, and what msgspec
        raises for an event that cannot be written."""
        self._take(event)
        self._empty.clear()
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="sagestream-events")

    async def flush(self, timeout_seconds: float = CLOSE_SECONDS) -> bool:
        """Tell what waits now; whether all of it left in time."""
        if not self._waiting:
            return True
        self._hurry = True
        self._changed.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._empty.wait(), timeout_seconds)
        return not self._waiting

    async def close(self, timeout_seconds: float = CLOSE_SECONDS) -> list[Event]:
        """Tell what waits, and end. Return the events that were not told in time."""
        await self.flush(timeout_seconds)
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        return self._rest()

    async def _run(self) -> None:
        while True:
            due = self._waiting.due_in(time.monotonic(), hurry=self._hurry)
            if due is None or due > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), due)
                continue
            batch = self._waiting.batch()
            result: Taken | SagestreamError
            try:
                result = await self._tell(batch)
            except SagestreamError as error:
                result = error
            except Exception as error:  # a closed client, or a fault: whatever it is, the events stay
                logger.exception("telling events has failed")
                result = SagestreamError(repr(error))
            self._report(self._settle(batch, result))
            if not self._waiting:
                self._hurry = False
                self._empty.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
