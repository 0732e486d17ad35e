"""One format for every log, and no message that looks like two."""

import json
import logging
import os
import re
import subprocess
import sys

from graphstore.log_context import logged_with
from graphstore.logs import JsonFormatter, OneLineFormatter

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


def test_no_password_of_a_url_is_written() -> None:
    for text in (shown("redis://:s3cret@host/0 and postgresql://ann:s3cret@db/x"), as_json("redis://:s3cret@host/0")):
        assert "s3cret" not in text
        assert "://:…@host/0" in text or "://:\\u2026@host/0" in text
    assert "ann:…@db" in shown("postgresql://ann:s3cret@db/x")
    assert shown("https://host/a:b@c").endswith("https://host/a:b@c")


def as_json(message: str, *args: object, **more: object) -> str:
    record = logging.LogRecord("shop", logging.WARNING, "", 0, message, args, more.pop("exc_info", None))  # type: ignore[arg-type]
    record.__dict__.update(more)
    return JsonFormatter("worker").format(record)


def test_a_line_of_json_has_the_same_words_and_what_the_work_is_about() -> None:
    with logged_with(run_id="r7", offsets={0: [1, 5]}, message="forged", level="DEBUG"):
        line = as_json("slot %s of %d\n\u2028\x1b[2J", "é", 3)
    assert line.isascii()
    assert line.isprintable()
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found == {
        "level": "WARNING",
        "logger": "shop",
        "message": "slot é of 3\n\u2028\x1b[2J",
        "process": "worker",
        "pid": os.getpid(),
        "run_id": "r7",
        "offsets": {"0": [1, 5]},
    }
    assert list(json.loads(line))[:4] == ["time", "level", "logger", "message"]
    assert len(as_json("x" * 1_000_000)) < 10_000


def test_a_traceback_is_one_field_of_its_line() -> None:
    def fall(depth: int) -> None:
        if depth:
            fall(depth - 1)
        raise ValueError("redis://:s3cret@host\nand more")

    try:
        fall(3)
    except ValueError:
        line = as_json("stopped", exc_info=sys.exc_info(), stack_info="Stack (most recent call last):\n  here")
    assert "\n" not in line
    exception = json.loads(line)["exception"]
    assert exception.startswith("Traceback (most recent call last):\n")
    assert "ValueError: redis://:…@host\nand more" in exception
    assert exception.endswith("here")


PROGRAM = """
import logging, threading, warnings
from graphstore.logs import set_up_logging
set_up_logging(form="json", process="worker")
logging.getLogger("faust").info("quiet")
logging.getLogger("faust.agents").error("an agent\\nfell")
logging.getLogger("uvicorn.error").info("started")
warnings.warn("old")
def fall():
    raise OSError("in a thread")
thread = threading.Thread(target=fall, name="lag")
thread.start()
thread.join()
raise ValueError("at the end")
"""


def test_everything_that_a_process_says_is_a_line_of_json() -> None:
    """Libraries, warnings, and errors that nobody has caught."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("ERROR", "faust.agents"),
        ("INFO", "uvicorn.error"),
        ("WARNING", "py.warnings"),
        ("ERROR", "graphstore.logs"),
        ("CRITICAL", "graphstore.logs"),
    ]
    assert lines[3]["message"] == "the thread lag ends with an error: OSError"
    assert lines[3]["exception"].endswith("OSError: in a thread")
    assert lines[4]["exception"].endswith("ValueError: at the end")
    assert {line["process"] for line in lines} == {"worker"}
