"""Logs: the one format of every process, and text that cannot break a line or move a terminal.

Arrives: log records of all libraries. Leaves: lines on standard error, `time level logger: message`, the time in UTC.
"""

import logging
import time

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TIME = "%Y-%m-%dT%H:%M:%S"
MILLISECONDS = "%s.%03dZ"

LONGEST_MESSAGE = 8000
"""Characters."""

QUIET = ("kafka", "aiokafka", "faust", "mode", "apscheduler", "alembic")
"""Libraries that log only warnings and errors."""


def escaped(text: str, *, keep: str = "") -> str:
    """Return the text with unprintable characters as escapes, except those in `keep`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escape(character) for character in text
    )


class OneLineFormatter(logging.Formatter):
    """One line for each message; below it, the traceback of an exception."""

    default_time_format = TIME
    default_msec_format = MILLISECONDS

    def __init__(self) -> None:
        super().__init__(FORMAT)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text. Text from outside cannot begin a line of its own."""
        message = escaped(record.getMessage())
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}…"
        plain = logging.makeLogRecord(record.__dict__ | {"msg": message, "args": None})
        return escaped(super().format(plain), keep="\n")


def set_up_logging(level: int = logging.INFO) -> None:
    """Log everything to standard error in the one format, warnings of Python too."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineFormatter())
    logging.basicConfig(level=level, handlers=[handler])
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
