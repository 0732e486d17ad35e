"""Error messages: make one line for an error that the user can fix.

Arrives: an exception from a verb. Leaves: a line with the problem, its location and the fix, or None for a fault in
Sagestream. Next: `sagestream.cli` prints the line, or the traceback.

A library's error is recognised by its class. Only classes that a service, a file or a setting causes are listed: a
wrong call in Sagestream raises other classes of the same library. A library that is not loaded cannot raise, so this
module does not load libraries.
"""

import functools
import re
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from graphstore.addresses import shown_url
from graphstore.config import PREFIX, GraphstoreConfig, holds_secret
from graphstore.errors import DISK_ERRORS, UserError, missing_extra, reason
from sagestream.extras import EXTRAS
from stream.config import StreamConfig

_P = ParamSpec("_P")
_T = TypeVar("_T")

NO_GRAPH = "no graph here yet: `sagestream init`, or `sagestream import … --direct`"

KAFKA_REFUSALS = (
    "KafkaConnectionError",
    "KafkaTimeoutError",
    "KafkaConfigurationError",
    "UnrecognizedBrokerVersion",
    "UnsupportedVersionError",
    "RetriableError",
    "AuthorizationError",
    "SaslAuthenticationFailedError",
    "UnsupportedSaslMechanismError",
    "IllegalSaslStateError",
    "InvalidReplicationFactorError",
    "PolicyViolationError",
    "MessageSizeTooLargeError",
)
KAFKA_FILES = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")

SQLITE_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
SQLITE_ADVICE = {
    sqlite3.SQLITE_CANTOPEN: "is it a file that this process may read and write?",
    sqlite3.SQLITE_PERM: "is it a file that this process may read and write?",
    sqlite3.SQLITE_READONLY: "is it a file that this process may write?",
    sqlite3.SQLITE_FULL: "make room on the disk",
    sqlite3.SQLITE_IOERR: "look at the disk",
    sqlite3.SQLITE_CORRUPT: "bring a backup back, or start with an empty state directory",
    sqlite3.SQLITE_NOTADB: "name another file in SAGESTREAM_DATABASE_URL",
}
"""The fix for each SQLite result code that no SQL statement of Sagestream causes."""

PYDANTIC_WORDS = "Value error, "

POSTGRES_OUTDATED = ("42P01", "42703")
"""Undefined table, undefined column."""
POSTGRES_FORBIDDEN = ("42501", "25006")
"""Insufficient privilege, read-only transaction."""


def message(error: Exception) -> str | None:
    """Return the message of an error, or None if it is a fault in Sagestream."""
    if isinstance(error, UserError):
        return str(error)
    for kind in (_setting, _redis, _kafka, _database, _file, _extra):
        if (line := kind(error)) is not None:
            return line
    return None


def exit_code(error: BaseException) -> int:
    """Return the exit code of a command that ends with this error."""
    return error.exit_code if isinstance(error, UserError) else 1


def told(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let `function` raise errors that the user can fix as `UserError`. Its message can go to another process."""

    @functools.wraps(function)
    def called(*arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return function(*arguments, **named)
        except Exception as error:
            if (line := message(error)) is None:
                raise
            refusal = UserError(line)
            refusal.exit_code = exit_code(error)
            raise refusal from error

    return called


def _setting(error: Exception) -> str | None:
    if isinstance(error, SettingsError) and isinstance(error.__cause__, UserError):  # of a file with a secret
        return str(error.__cause__)
    if not isinstance(error, ValidationError):
        return None
    from sagestream.settings import CONFIGS

    config = next((config for config in CONFIGS.values() if config.__name__ == error.title), None)
    if config is None:
        return None
    return "; ".join(_wrong_value(config, found) for found in error.errors(include_url=False))


def _wrong_value(config: type[BaseSettings], found: Any) -> str:
    """Return the message for a wrong setting, with the variable's name and its value (unless it is a secret)."""
    path = [str(part) for part in found["loc"]]
    field = config.model_fields.get(path[0]) if path else None
    # A URL may hold a password in any part, so it is not shown. A check of ours says all in its own words.
    ours = found["type"] == "value_error"
    given = "" if ours or field is None or holds_secret(path[0], field) else f", not {str(found['input'])[:100]!r}"
    return f"{PREFIX}{'__'.join(path).upper()}: {found['msg'].removeprefix(PYDANTIC_WORDS)}{given}"


def _redis(error: Exception) -> str | None:
    if isinstance(error, RedisConnectionError | RedisTimeoutError):
        address = shown_url(GraphstoreConfig().redis_url)
        why = reason(error)
        if named := re.match(r"Error -?\d+ connecting to (\S+)\. (.+?)\.?$", why):
            address, why = named[1], named[2]
        return f"no Redis at {address} ({why}): start it, or set {PREFIX}REDIS_URL"
    if isinstance(error, NoPermissionError | OutOfMemoryError | ReadOnlyError):
        return f"Redis at {shown_url(GraphstoreConfig().redis_url)} refuses: {reason(error)}"
    return None


def _kafka(error: Exception) -> str | None:
    if not _is_of(error, "kafka.errors", *KAFKA_REFUSALS):
        return None
    config = StreamConfig()
    for name in KAFKA_FILES:
        if (file := getattr(config, name)) and not Path(file).is_file():
            return f"{PREFIX}{name.upper()}: there is no file {file}"
    why, servers = reason(error), config.kafka_bootstrap_servers
    if named := re.match(r"(?:Unable to bootstrap from \[(.*?)\]|no broker at (\S+?))(?:: |$)", why):
        why, servers = why[named.end() :], (named[1] or named[2] or servers).replace("'", "")
    if _is_of(error, "kafka.errors", "KafkaConnectionError", "KafkaTimeoutError"):
        return f"no Kafka at {servers} ({why or 'no answer'}): start it, or set {PREFIX}KAFKA_BOOTSTRAP_SERVERS"
    return f"Kafka at {servers} refuses: {why}"


def _database(error: Exception) -> str | None:
    if not _is_of(error, "sqlalchemy.exc", "DBAPIError"):
        return None
    from graphstore.session import BUSY_TIMEOUT_SECONDS, DATABASE_NOTE

    notes = getattr(error, "__notes__", [])
    url = next((note.removeprefix(DATABASE_NOTE) for note in notes if note.startswith(DATABASE_NOTE)), "")
    why, original = reason(error), getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        if code in SQLITE_LOCKED:
            return (
                f"the database {url} was locked by another process for {BUSY_TIMEOUT_SECONDS:g} s: let that one end, "
                "and run this again"
            )
        if code in SQLITE_ADVICE:
            return f"the database {url} cannot be used ({why}): {SQLITE_ADVICE[code]}"
        return _outdated(url) if why.startswith("no such ") or "has no column" in why else None
    state = getattr(original, "sqlstate", None)
    if state in POSTGRES_OUTDATED:
        return _outdated(url)
    if _is_of(error, "sqlalchemy.exc", "OperationalError"):  # unreachable, shutting down, full, too many clients
        return f"no database at {url} ({why}): start it, or set {PREFIX}DATABASE_URL"
    return f"the database {url} refuses: {why}" if state in POSTGRES_FORBIDDEN else None


def _outdated(shown: str) -> str | None:
    """Return the message for a missing table or column, or None if the schema is current (a fault in Sagestream)."""
    from graphstore.session import open_engine, revisions

    engine = open_engine(shown if shown.startswith("sqlite") else GraphstoreConfig().sqlalchemy_url)
    try:
        current, newest = revisions(engine)
    finally:
        engine.dispose()
    if current is None:
        return NO_GRAPH
    return None if current == newest else f"{shown} holds tables of version {current}, not {newest}: `sagestream init`"


def _file(error: Exception) -> str | None:
    """Return the message for a full disk or an unusable state directory. Verbs handle files that the user names."""
    if not isinstance(error, OSError):
        return None
    where = str(error.filename or "")
    if error.errno in DISK_ERRORS:
        return f"{where or 'a file'} cannot be written: {error.strerror}"
    directory = GraphstoreConfig().state_dir.resolve()
    unusable = isinstance(error, PermissionError | NotADirectoryError | IsADirectoryError | FileExistsError)
    if unusable and where and Path(where).resolve().is_relative_to(directory):
        return f"{where}: {error.strerror}: {PREFIX}STATE_DIR must name a directory that this process may write"
    return None


def _extra(error: Exception) -> str | None:
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return str(missing_extra(module, EXTRAS[module])) if module in EXTRAS else None


def _is_of(error: Exception, module: str, *names: str) -> bool:
    """Return whether the error has one of these classes of a library; the library need not be loaded."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, tuple(getattr(loaded, name) for name in names))
