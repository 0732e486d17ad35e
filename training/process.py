"""Spawned process: calls functions in a process of its own, so that their memory ends with it.

Arrives: module-level functions and their arguments, all picklable. Leaves: the returned values, and the progress while
a call runs. Next: `training.lifecycle.scheduler` trains in such a process, `training.benchmark.isolated` measures one,
and the playground imports and trains in them.

A spawned process ends when its parent ends for any reason. Without this, it would compute for hours although no process
waits for its result.

And the parent never waits for a process that has died, however early. The start hands over a few kilobytes, which fit
into a pipe that nobody reads; arguments follow over the connection. A thread waits for the end of the process and then
shuts the connection down, since processes that the dead one has forked may still hold its end of it. Ctrl-C is held
back only while the process is started.
"""

import multiprocessing
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from graphstore.errors import UserError
from graphstore.logs import LogSetup, current_setup, set_up_logging
from graphstore.progress import Progress
from training.options import ignore_progress

STOP_SECONDS = 5.0


class SpawnedProcessFailed(UserError):
    """The function refused, or its process died. The message tells which."""


class FaultInProcess(RuntimeError):
    """The function raised an unexpected error. The message is the error's line, and below it its traceback."""


class SpawnedProcess:
    """One spawned process. It calls one function after the other until `stop`.

    Args:
        prepare: Called once in the process, before the first call, for example to load libraries. It gets no arguments.
        environment: Variables of the process. Libraries read them when they load, so a call is too late to set them.
    """

    def __init__(
        self, prepare: Callable[[], object] | None = None, *, environment: Mapping[str, str] | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")  # a fork copies the memory and the threads of this process
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, prepare, current_setup()), daemon=True)
        self._busy = False
        self._closing = threading.Lock()
        try:
            with _without_interrupts(), _environment(environment or {}):
                self._process.start()
        finally:
            theirs.close()
        self._watch = threading.Thread(target=self._shut_down_after_death, daemon=True)
        self._watch.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def call(self, function: Callable[..., Any], *arguments: Any, progress: Progress = ignore_progress) -> Any:
        """Return `function(*arguments, progress)`, called in the process.

        Raises `SpawnedProcessFailed` when the function raises a `UserError` or the process dies, and `FaultInProcess`
        for any other error.
        """
        self._busy = True
        try:
            self._connection.send((function, arguments))
            while True:
                kind, *values = self._connection.recv()
                if kind != "progress":
                    break
                progress(*values)
        except (EOFError, ConnectionError):
            raise SpawnedProcessFailed(self._death()) from None
        self._busy = False
        if kind == "refused":
            failure = SpawnedProcessFailed(values[0])
            failure.exit_code = values[1]
            raise failure
        if kind == "failed":
            raise FaultInProcess(values[0])
        return values[0]

    def kill(self) -> None:
        """Kill the process at once. A call that runs in another thread raises `SpawnedProcessFailed`."""
        self._process.kill()

    def stop(self) -> None:
        """End the process: an idle one by closing the pipe, one with an unfinished call by SIGTERM.

        One that has not ended after `STOP_SECONDS` is killed.
        """
        if self._busy:  # it ends before the pipe closes, otherwise it prints an error
            self._process.terminate()
            self._watch.join(STOP_SECONDS)
            if self._watch.is_alive():
                self.kill()
        with self._closing:
            self._connection.close()
        self._watch.join(STOP_SECONDS)  # a normal exit frees the resources of its libraries
        if self._watch.is_alive():
            self.kill()
            self._watch.join()

    def _shut_down_after_death(self) -> None:
        self._process.join()
        with self._closing:
            if self._connection.closed:
                return
            with socket.socket(fileno=os.dup(self._connection.fileno())) as ours:
                ours.shutdown(socket.SHUT_RDWR)  # what the process has sent before its end can still be read

    def _death(self) -> str:
        self._watch.join(STOP_SECONDS)
        code = self._process.exitcode
        how = f"by {signal.Signals(-code).name}" if code is not None and code < 0 else f"with exit code {code}"
        hint = ": out of memory?" if code == -signal.SIGKILL else ""
        return f"its process ended {how}{hint}"


def _serve(connection: Connection, prepare: Callable[[], object] | None, log: LogSetup | None) -> None:
    """Answer calls until the parent closes the pipe. Log as the parent does."""
    if log is not None:
        set_up_logging(log.level, form=log.form, process=log.process)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    if prepare is not None:
        prepare()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        connection.send(_answer(connection, function, arguments))


def _answer(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    def report(line: str, share: float) -> None:
        connection.send(("progress", line, share))

    try:
        return "done", function(*arguments, report)
    except UserError as error:
        return "refused", str(error), error.exit_code
    except Exception as error:  # noqa: BLE001  # reported to the caller, with its traceback
        return "failed", traceback.format_exception_only(error)[0] + traceback.format_exc()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)  # not sys.exit, which would end only this thread


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in a process started in this context, even during its imports. The parent decides when it stops."""
    resource_tracker.ensure_running()  # started later, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set the variables for a process started in this context, which inherits them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
