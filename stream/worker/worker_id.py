"""Worker id: a worker that starts beside another one with the same id is told so, and the other one goes on.

Arrives: the id (`StreamConfig.member_id`) and the database that all workers share. Leaves: a lock on the id for the
life of the process. Next: `sagestream.runners`.

Kafka gives the partitions of a static member to whoever joined last under its id. Two workers with one id would take
them from each other every second, and neither would be told why.
"""

import logging
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from graphstore.advisory_lock import Lock, database_lock
from graphstore.errors import UserError
from stream.config import StreamConfig
from stream.worker.retry import first_line

logger = logging.getLogger(__name__)

_KEY_SPACE = 0x776B_7200_0000_0000
"""Numbers that no other program on the database uses: the id's checksum is added."""
HANDOVER_SECONDS = 10.0
"""How long a predecessor with the same id may take to end."""
RETRY_SECONDS = 0.5
CHECK_SECONDS = 10.0


class WorkerIdTaken(UserError):
    """Another live worker has this id."""


def id_lock(engine: Engine, config: StreamConfig, state_dir: Path) -> Lock:
    """Return the lock on this worker's id, within its consumer group."""
    name = f"{config.worker_group}\0{config.member_id}"
    path = state_dir / "worker" / config.member_id / f"{config.worker_group}.lock"
    return database_lock(engine, _KEY_SPACE + zlib.crc32(name.encode()), path)


def take_id(
    lock: Lock,
    member_id: str,
    stop: threading.Event,
    told: Callable[[str], None],
    *,
    wait_seconds: float = HANDOVER_SECONDS,
) -> None:
    """Wait until the lock is ours or `stop` is set. While the database is away, wait for it.

    `told` gets the reason of each new problem, and an empty text at the end. Raises `WorkerIdTaken` when another worker
    holds the lock for `wait_seconds`.
    """
    waited = 0.0
    problem = ""
    while not stop.is_set():
        try:
            if lock.acquire():
                told("")
                return
            waited += RETRY_SECONDS
        except SQLAlchemyError as error:
            if str(error) != problem:
                problem = str(error)
                told(f"the database: {first_line(error)}")
        if waited >= wait_seconds:
            raise WorkerIdTaken(
                f"another worker with the id {member_id!r} is running: give each worker its own SAGESTREAM_WORKER_ID "
                "(without one, it is the host name)"
            )
        stop.wait(RETRY_SECONDS)


class IdWatch:
    """A thread that takes the lock again after the database was away."""

    def __init__(self, lock: Lock, member_id: str, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._lock = lock
        self._member_id = member_id
        self._check_seconds = check_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker-id", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and release the lock."""
        self._stop.set()
        self._thread.join()
        self._lock.release()

    def _run(self) -> None:
        while not self._stop.wait(self._check_seconds):
            try:
                if not self._lock.held() and not self._lock.acquire():
                    logger.error("another worker with the id %s runs: each needs its own id", self._member_id)
            except SQLAlchemyError as error:
                logger.warning("the lock on the worker's id waits for the database: %s", first_line(error))
