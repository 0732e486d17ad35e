"""Printable text: what came from outside is text on the terminal, never a command of the terminal and never markup.

Arrives: text of files, events, services and users. Leaves: the same text, with unprintable characters escaped. Next:
the terminal. Every verb prints through this module: `echo`, `echo_json`, or a `PlainConsole` for tables and colours.
"""

import json
from collections.abc import Iterable
from typing import Any, TextIO

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from graphstore.logs import escaped

DELETE = "\x7f"
"""The one control character that JSON in ASCII does not escape."""


def printable(raw: bytes | str, limit: int) -> str:
    """Return the first `limit` characters, with unprintable ones escaped, and `…` if the text is longer."""
    text = raw[: 4 * limit].decode("utf-8", errors="backslashreplace") if isinstance(raw, bytes) else raw
    shown = escaped(text[:limit])
    more = len(text) > limit or (isinstance(raw, bytes) and len(raw) > 4 * limit)
    return f"{shown}…" if more else shown


def printable_lines(text: str) -> str:
    """Return the whole text, with unprintable characters escaped, except the ends of lines."""
    return escaped(text, keep="\n")


def echo(text: str, *, err: bool = False) -> None:
    """Print text on standard output, or on standard error."""
    typer.echo(printable_lines(text), err=err)


def echo_json(value: Any, **options: Any) -> None:
    """Print a value as JSON in ASCII; `options` are those of `json.dumps`."""
    typer.echo(json.dumps(value, **options).replace(DELETE, "\\u007f"))


def echo_result(value: Any, words: str, *, as_json: bool, **options: Any) -> None:
    """Print a result: as JSON for programs, or in words for people."""
    if as_json:
        echo_json(value, **options)
    else:
        echo(words)


class BadParameter(typer.BadParameter):
    """A wrong argument or option: a usage error, exit code 2. What was typed may be the name of a file."""

    def __init__(self, message: str, *, param_hint: str | None = None) -> None:
        super().__init__(printable_lines(message), param_hint=param_hint)


class PlainConsole(Console):
    """A console that takes each string as plain text: no markup, no emoji codes, unprintable characters escaped.

    Colours come from styles: `Text(words, "red")`.
    """

    def __init__(
        self,
        *,
        file: TextIO | None = None,
        stderr: bool = False,
        soft_wrap: bool = False,
        quiet: bool = False,
        width: int | None = None,
    ) -> None:
        super().__init__(
            file=file,
            stderr=stderr,
            soft_wrap=soft_wrap,
            quiet=quiet,
            width=width,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Return plain text of a string, as in a cell of a table: escaped before its width is measured."""
        return super().render_str(printable_lines(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of anything that is printed. Only the console itself moves the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))
