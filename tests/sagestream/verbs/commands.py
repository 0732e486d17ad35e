"""The command line called as a user calls it, in this process or, for signals, in one of its own.

A process of its own takes two to four seconds of processor time before its first word: only what is about processes
(signals, a pipe that stays open) starts one.
"""

import io
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock

from typer.testing import CliRunner

from sagestream import cli
from sagestream.error_messages import exit_code, message
from sagestream.playground.embedded import Broker


@dataclass(frozen=True)
class Done:
    """How a verb ended: 0, 1 or 2, and what it printed; `error` is what `main` would tell in one line."""

    code: int
    out: str
    err: str
    error: BaseException | None

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {"COLUMNS": "200", **{f"SAGESTREAM_{name}": value for name, value in settings.items()}}


def run(*words: str, settings: Mapping[str, str], columns: int = 200) -> Done:
    """Run a verb to its end; a fault is raised."""
    width = {"COLUMNS": str(columns)}
    result = CliRunner().invoke(cli.app, list(words), env=environment(settings) | width)
    error = result.exception if result.exception and not isinstance(result.exception, SystemExit) else None
    if error is not None and not (isinstance(error, Exception) and message(error)):
        raise error
    return Done(exit_code(error) if error else result.exit_code, result.stdout, result.stderr, error)


def sagestream(
    *words: str, settings: Mapping[str, str], stdin: str = "", terminal: int | None = None
) -> "subprocess.CompletedProcess[str]":
    """Call `main` in this process: the exit code, and what a user sees, a traceback included.

    `stdin` is piped; or it is the `terminal`, an open file descriptor, which is closed.
    """
    source = _pipe_of(stdin.encode()) if terminal is None else terminal
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.TextIOWrapper(io.BytesIO(), write_through=True)
    with (
        os.fdopen(source) as given,
        mock.patch.dict(os.environ, environment(settings)),
        mock.patch.object(sys, "argv", ["sagestream", *words]),
        mock.patch.object(sys, "stdin", given),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        except Exception:  # noqa: BLE001 - as the interpreter does
            traceback.print_exc()
            code = 1
    shown = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["sagestream", *words], int(code or 0), *shown)


def _pipe_of(content: bytes) -> int:
    """The reading end of a pipe that holds this, a few kilobytes at most."""
    ours, theirs = os.pipe()
    os.write(theirs, content)
    os.close(theirs)
    return ours


def pipe(stdin: bytes, *words: str, settings: Mapping[str, str]) -> Done:
    """Run a verb as a process of its own, with this on its standard input."""
    done = subprocess.run(
        [sys.executable, "-m", "sagestream", *words],
        env={**os.environ, **environment(settings)},
        input=stdin,
        capture_output=True,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode(), None)


def start(*words: str, settings: Mapping[str, str]) -> "subprocess.Popen[str]":
    """Start a verb as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "sagestream", *words],
        env={**os.environ, **environment(settings)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def broker_settings(broker: Broker) -> dict[str, str]:
    """What points a verb at the broker."""
    return {name.removeprefix("SAGESTREAM_"): value for name, value in broker.environment.items()}
