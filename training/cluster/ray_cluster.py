"""Ray cluster: starts a Ray on this machine, or joins one that runs on several, for as long as a job takes.

Arrives: a number of worker processes, or an address. Leaves: a running connection and how many tasks run at once. Next:
`training.cluster.ray_tasks` hands tasks to it, `training.cluster.ray_group` trains with it.

Ray is imported inside the functions: it reads its variables when it is imported, and no other process pays for it.
"""

import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

from graphstore.addresses import THIS_RAY, check_ray_address
from graphstore.errors import UserError, reason

CONNECT_SECONDS = 10.0
"""A machine that does not take a connection in this time is away. Ray itself tries for two minutes."""

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0 Ray listens on the loopback interface alone, on every system. It reads this when it is imported."""


class RayAway(UserError):
    """There is no Ray where one was named, it does not let this process in, or an own one does not start."""


@contextmanager
def local_ray(workers: int | None = None, *, directory: Path | None = None) -> Iterator[int]:
    """Start a Ray of `workers` processes on this machine; stop it and delete its files at the end.

    None: one for each processor. A `directory` for its files is the caller's, who also deletes it. Yields the number of
    workers, which is how many tasks run at once. Raises `RayAway` where it does not start.
    It has no dashboard, reports nothing to anybody, listens on the loopback interface alone, and takes tasks only from
    who has its token, which no file holds. Raises `RuntimeError` where Ray was imported before, without `LOOPBACK`.
    """
    if "ray" in sys.modules and os.environ.get(LOOPBACK) != "0":
        raise RuntimeError(f"Ray was imported without {LOOPBACK}=0: it would listen on every interface")
    _set_variables(
        **{LOOPBACK: "0"},
        RAY_AUTH_MODE="token",
        RAY_AUTH_TOKEN=_token(),  # else Ray writes one into the home directory
    )
    import ray

    with ray_directory() if directory is None else nullcontext(directory) as own:
        try:
            _start(own, workers)
            yield _processors()
        finally:
            ray.shutdown()


def _start(directory: Path, workers: int | None) -> None:
    """Start a Ray. Raises `RayAway` for whatever keeps it from that: Ray has no class of its own for it."""
    import ray

    try:
        ray.init(
            address="local",  # also where RAY_ADDRESS names a cluster
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=str(directory),  # Ray opens its own directory to every user of the machine
        )
    except Exception as error:
        raise RayAway(f"no Ray starts on this machine: {reason(error)}") from error


@contextmanager
def ray_directory() -> Iterator[Path]:
    """Make a directory for the files of a Ray, and delete it at the end."""
    with tempfile.TemporaryDirectory(prefix="sagestream-ray-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def joined_ray(address: str) -> Iterator[int]:
    """Join the cluster at `address`, from a machine that is part of it.

    Yields the number of its processors, which is how many tasks run at once. Raises `RayAway`, and `ValueError` for
    another form of address (see `graphstore.addresses.check_ray_address`).
    """
    check_ray_address(address)
    _set_variables()
    if address != THIS_RAY:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise _away(address, error) from error
    import ray
    from ray.exceptions import RayError

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, RuntimeError, RayError) as error:
        ray.shutdown()
        raise _away(address, error) from error
    try:
        yield _processors()
    finally:
        ray.shutdown()


def _away(address: str, error: Exception) -> RayAway:
    said = reason(error).rstrip(".")
    return RayAway(f"no Ray cluster takes this process at {address} ({said}): run it where `ray start` ran")


def _processors() -> int:
    """Return the number of tasks that the connected cluster runs at once."""
    import ray

    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _set_variables(**variables: str) -> None:
    """Set variables that Ray reads once in a process, and hands to its own. What the user has set stays."""
    common = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_task_oom_retries": "3",  # Ray's own default is to try for ever where memory is short
    }
    for name, value in (common | variables).items():
        os.environ.setdefault(name, value)


@cache
def _token() -> str:
    """Return the token of this process: Ray keeps the first that it reads."""
    return secrets.token_hex(32)
