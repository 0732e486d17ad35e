"""One format for every log, and no message that looks like two."""

import logging
import re
import sys

from graphstore.logs import OneLineFormatter

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING shop: .*")


def shown(message: str, *args: object, fault: bool = False) -> str:
    info = None
    if fault:
        try:
            raise ValueError("a\x1b[2J\nb")
        except ValueError:
            info = sys.exc_info()
    return OneLineFormatter().format(logging.LogRecord("shop", logging.WARNING, "", 0, message, args, info))


def test_a_message_is_one_line_with_its_time_in_utc() -> None:
    line = shown("slot %s of %d", "[/nope]\x1b[2J\n2026-01-01T00:00:00.000Z ERROR forged: no", 3)
    assert LINE.fullmatch(line)
    assert line.endswith("slot [/nope]\\x1b[2J\\n2026-01-01T00:00:00.000Z ERROR forged: no of 3")
    assert len(shown("x" * 1_000_000)) < 10_000
    assert "100 % \x20sure".strip() in shown("100 % \x20sure")


def test_a_traceback_stands_below_its_line_and_moves_no_terminal() -> None:
    first, *rest = shown("stopped", fault=True).splitlines()
    assert LINE.fullmatch(first)
    assert rest[0] == "Traceback (most recent call last):"
    assert all(line.isprintable() for line in rest)
