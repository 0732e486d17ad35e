"""CLI reference: generates `docs/cli.md` from the verbs.

Arrives: the Typer app and the signatures of its verbs. Leaves: the page. Next: `make docs` writes it; a test compares
the committed page with the code.
"""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import typer
from typer.models import ArgumentInfo, OptionInfo

from sagestream.cli import app

PAGE = Path("docs") / "cli.md"

INTRODUCTION = """\
# The command line

<!-- Written by `make docs` from the code: change the verbs, not this page. -->

Each verb takes `--help`. Those whose output a program may read take `--json`. Settings come from the environment
([settings.md](settings.md)); the options below are all that a verb takes besides.

| exit code | means |
|---|---|
| 0 | It is done. |
| 1 | It failed. One line says what is wrong and what to do. A fault of Sagestream itself keeps its traceback. |
| 2 | The arguments or options were wrong, or a file is not understood without one. |
| 130 | Ctrl-C or SIGTERM ended a long job. What was done stays; the same call goes on. |

A long-running process (`worker`, `nearline`, `publisher`, `scheduler`, `serve`, `monitor`) ends with 0 on SIGTERM. The
worker ends with 1 if it had to be cut off after nine seconds; what it had not committed is delivered again.
"""

EXITS: dict[str, str] = {
    "doctor": "1 also where a check found something wrong.",
    "forget": "1 also where the question was answered with no.",
    "import": "1 also where every row was rejected.",
    "preprocess": "1 also where every row of the SOURCE was rejected.",
    "produce": "1 also where a line was rejected; the others were sent.",
    "replay": "1 also where a line of --file was rejected; the others were sent.",
}
"""Additional meanings of a verb's exit code, which are not in the table."""

WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    Path: "path",
    datetime: "time",
}


def verbs(group: typer.Typer, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield (name, function) of every verb, in the order of `--help`. `models list` is one name."""
    for command in group.registered_commands:
        if command.callback is not None:
            yield prefix + (command.name or command.callback.__name__.replace("_", "-")), command.callback
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            yield from verbs(inner.typer_instance, f"{prefix}{inner.name} ")


def reference(group: typer.Typer) -> str:
    """Return the whole page."""
    found = list(verbs(group))
    table = ["| verb | does |", "|---|---|"]
    for name, function in found:
        anchor = f"#sagestream-{name.replace(' ', '-')}"
        table.append(f"| [`{name}`]({anchor}) | {_cell(_first_paragraph(function))} |")
    return "\n".join([INTRODUCTION, *table, "", *(_section(name, function) for name, function in found)])


def _section(name: str, function: Callable[..., Any]) -> str:
    parameters = sorted(_parameters(function), key=lambda one: isinstance(one[1], OptionInfo))  # arguments first
    usage = [f"sagestream {name}", *(_usage(one) for one in parameters if isinstance(one[1], ArgumentInfo))]
    if any(isinstance(info, OptionInfo) for _, info, _, _ in parameters):
        usage.append("[OPTIONS]")
    lines = [f"## `sagestream {name}`", "", "```", " ".join(usage), "```", "", inspect.cleandoc(function.__doc__ or "")]
    if parameters:
        lines += ["", "| name | takes | default | meaning |", "|---|---|---|---|", *map(_row, parameters)]
    if name in EXITS:
        lines += ["", f"Exit code {EXITS[name]}"]
    return "\n".join([*lines, ""])


_Parameter = tuple[str, ArgumentInfo | OptionInfo, Any, Any]
"""Name, Typer's information, annotation, default (`inspect.Parameter.empty`: the parameter is required)."""


def _parameters(function: Callable[..., Any]) -> Iterator[_Parameter]:
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        hint, *told = typing.get_args(parameter.annotation)
        info = next(one for one in told if isinstance(one, ArgumentInfo | OptionInfo))
        yield name, info, hint, parameter.default


def _usage(parameter: _Parameter) -> str:
    name, _, hint, default = parameter
    shown = name.upper() + ("…" if typing.get_origin(_inner(hint)) is list else "")
    return shown if default is inspect.Parameter.empty else f"[{shown}]"


def _row(parameter: _Parameter) -> str:
    name, info, hint, default = parameter
    shown = name.upper() if isinstance(info, ArgumentInfo) else _option(name, info)
    return f"| `{shown}` | {_takes(info, _inner(hint))} | {_default(default)} | {_cell(info.help or '')} |"


def _option(name: str, info: OptionInfo) -> str:
    first = (info.default,) if isinstance(info.default, str) else ()  # `Annotated` stores the first name there
    return " ".join((*first, *(info.param_decls or ())) or [f"--{name.replace('_', '-')}"])


def _inner(hint: Any) -> Any:
    """Return the type without `| None`."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(one for one in typing.get_args(hint) if one is not type(None))
    return hint


def _takes(info: ArgumentInfo | OptionInfo, hint: Any) -> str:
    if typing.get_origin(hint) is list:
        return f"{_takes(info, typing.get_args(hint)[0])}, any number"
    if typing.get_origin(hint) is Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(hint))
    if hint is bool:
        return "nothing"
    if info.parser is not None:
        return "a time as `2026-01-31T12:00`, or an age as `2h`"
    bounds = {(True, True): f", {info.min} to {info.max}", (True, False): f", at least {info.min}"}
    return WORDS[hint] + bounds.get((info.min is not None, info.max is not None), "")


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "must be given"
    return "" if value is None or value is False else f"`{value}`"


def _first_paragraph(function: Callable[..., Any]) -> str:
    return inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")


def write(root: Path) -> None:
    """Write the page. `root` is the repository."""
    (root / PAGE).write_text(reference(app), encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).parents[1])
