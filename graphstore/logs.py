"""Logs: the one format of every process, and text that cannot break a line or move a terminal.

Arrives: log records of all libraries. Leaves: lines on standard error, `time level logger: message`, the time in UTC,
or one JSON object a line, with what the work is about (`graphstore.log_context`). Passwords in URLs are left out.
"""

import json
import logging
import re
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from graphstore.log_context import log_fields

LogFormat = Literal["text", "json"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TIME = "%Y-%m-%dT%H:%M:%S"
MILLISECONDS = "%s.%03dZ"

LONGEST_MESSAGE = 8000
"""Characters."""
LONGEST_STACK = 32_000
"""Characters. The end of a stack is kept, because it names the error."""

QUIET = ("kafka", "aiokafka", "faust", "mode", "apscheduler", "alembic")
"""Libraries that log only warnings and errors."""

_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/@]*(?=@)")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSetup:
    """How a process logs. A child process gets its parent's."""

    level: int
    form: LogFormat
    process: str


_setup: LogSetup | None = None


def escaped(text: str, *, keep: str = "") -> str:
    """Return the text with unprintable characters as escapes, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escape(character) for character in text
    )


def without_passwords(text: str) -> str:
    """Return the text without the passwords of its URLs, `redis://name:…@host`."""
    return _PASSWORD.sub(r"\1:…", text) if "://" in text else text


class OneLineFormatter(logging.Formatter):
    """One line for each message; below it, the traceback of an exception."""

    default_time_format = TIME
    default_msec_format = MILLISECONDS

    def __init__(self) -> None:
        super().__init__(FORMAT)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text. Text from outside cannot begin a line of its own."""
        plain = logging.makeLogRecord(record.__dict__ | {"msg": _cut(escaped(record.getMessage())), "args": None})
        return without_passwords(escaped(super().format(plain), keep="\n"))


class JsonFormatter(logging.Formatter):
    """One JSON object for each message, in ASCII, so that no text from outside can begin a line of its own.

    The fields `time`, `level`, `logger`, `message`, `process` and `pid` are always there, then those of
    `graphstore.log_context`; `exception` holds a traceback. No field of the context replaces one of these.
    """

    default_time_format = TIME
    default_msec_format = MILLISECONDS

    def __init__(self, process: str) -> None:
        super().__init__()
        self.converter = time.gmtime
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "message": without_passwords(_cut(record.getMessage())),
            "process": self._process,
            "pid": record.process,
        }
        line |= {name: value for name, value in log_fields().items() if name not in line}
        stack = "\n".join(
            part
            for part in (
                self.formatException(record.exc_info) if record.exc_info else record.exc_text,
                self.formatStack(record.stack_info) if record.stack_info else None,
            )
            if part
        )
        if stack:
            line["exception"] = without_passwords(stack[-LONGEST_STACK:])
        return json.dumps(line, default=str)


def set_up_logging(level: int = logging.INFO, *, form: LogFormat = "text", process: str = "") -> None:
    """Log everything to standard error in one format, warnings of Python too.

    `process` names the process in lines of JSON. With them, an error that ends the process or one of its threads is a
    line, too, in place of a bare traceback.
    """
    global _setup
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(process) if form == "json" else OneLineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    if form == "json":
        sys.excepthook = _log_end_of_process
        threading.excepthook = _log_end_of_thread
    _setup = LogSetup(level, form, process)


def current_setup() -> LogSetup | None:
    """Return how this process logs. None: it writes no log, as a verb that prints what it has to say."""
    root = logging.getLogger()
    return _setup or (LogSetup(root.level, "text", "") if root.handlers else None)


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]}…"


def _log_end_of_process(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        logger.critical("the process ends with an error: %s", kind.__name__, exc_info=(kind, error, at))


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and ended.exc_type is not SystemExit:
        name = ended.thread.name if ended.thread is not None else "unknown"
        logger.error(
            "the thread %s ends with an error: %s",
            *(name, ended.exc_type.__name__),
            exc_info=(ended.exc_type, ended.exc_value, ended.exc_traceback),
        )


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
