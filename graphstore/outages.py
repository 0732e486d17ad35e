"""Outages: which errors of a database, of Redis or of a disk are over after a wait.

Arrives: an error. Leaves: the name of the service, or None when the same step would fail again. Next:
`stream.worker.retry`, near-line, the publisher, the monitor.
"""

import re

from redis.exceptions import (
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from graphstore.errors import DISK_ERRORS

DATABASE, REDIS, DISK = "database", "redis", "disk"

_READ_ONLY = "25006"
"""The SQLSTATE of PostgreSQL for a write to a server that only reads: a standby, or a full one that its operator closed
for writes."""

_REDIS_ERRORS = (
    RedisConnectionError,  # also of a wrong or missing password, and while Redis loads its data
    RedisTimeoutError,
    OutOfMemoryError,
    ReadOnlyError,
    NoPermissionError,
    ClusterDownError,
    TryAgainError,
)

_REDIS_CODES = re.compile(r"\b(MISCONF|OOM|READONLY|NOAUTH|NOPERM|LOADING|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN)\b")
"""Codes without a class of their own (MISCONF: Redis cannot write to its disk), and codes inside a script's error."""


_FULL = re.compile(r"\bOOM\b")


def is_full(error: BaseException) -> bool:
    """Return whether Redis refused a write because its memory is full. Only an operator, or time, gives it room."""
    return isinstance(error, OutOfMemoryError) or (isinstance(error, ResponseError) and bool(_FULL.search(str(error))))


def service_of(error: BaseException) -> str | None:
    """Return the service that is unreachable, locked, full or closed; None when waiting cannot solve the error."""
    if isinstance(error, OperationalError | InterfaceError):
        return DATABASE
    if isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) == _READ_ONLY:
        return DATABASE
    if isinstance(error, _REDIS_ERRORS) or (isinstance(error, ResponseError) and _REDIS_CODES.search(str(error))):
        return REDIS
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return DISK
    return None
