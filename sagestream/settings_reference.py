"""Settings reference: generates `docs/settings.md` and `.env.example` from the configuration classes.

Arrives: the fields of each package's configuration. Leaves: the two files. Next: `make docs` writes them; a test
compares the committed files with the code.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from math import inf
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from graphstore.config import PREFIX
from sagestream.settings import CONFIGS, TRAINING_FILE, variables
from training.config import SageConfig, TrainingFile

UNITS = {"seconds": "s", "ms": "ms", "days": "days", "mb": "MB", "ranks": "items", "spans": "time spans"}
"""The unit for the last word of a setting's name."""

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
"""The words for pydantic's bounds of a number."""

LINE = 120

EXAMPLE_CHANGES = {"sage": {"dim": 32, "learning_rate": 0.01}, "recommend_repeats": "no", "blend_focus": 1.0}

SETTINGS_HEAD = f"""\
# Settings

Every process reads its settings from the environment once, when it starts; `.env.example` lists them with their
defaults. What shapes a model lives in [the training file](#the-training-file). A variable that begins with `{PREFIX}`
and is not in these tables is named in a warning when a process starts, and by `sagestream doctor`, with what took its
place where an older version knew it.

A file may hold a secret or a URL with a password instead: the name of the variable with `_FILE` behind it names the
file. An empty variable counts as not set.

Several processes of one kind on one machine each need a `{PREFIX}PROBE_PORT` of their own, and workers a
`{PREFIX}WORKER_ID`.

This page is made by `make docs`.
"""

FILE_HEAD = f"""
## The training file

What shapes a model is JSON that names only what it changes. `{TRAINING_FILE}` names the file for every verb that
trains or evaluates, and for the scheduler; `sagestream train --config` takes another one for one run; `sagestream tune`
writes one. The scheduler reads the file at its start, where a wrong file is an error, and again before each run: a
change counts from the next run on, and while the changed file is wrong, no run begins and the scheduler is not ready.

The file may also name the settings of training above, in small letters and without the prefix, as `gate_min_users`;
there the file counts before the environment.

```json
{json.dumps(EXAMPLE_CHANGES, indent=1)}
```
"""

EXAMPLE_HEAD = f"""\
# Every setting with its default. Copy to `.env`, or export what differs; secrets come from the environment only.
# docs/settings.md says more. Made by `make docs`.
#
# docker-compose.yml asks for these five (letters and digits, because some become a part of a URL or a command):
# POSTGRES_ADMIN_PASSWORD=
# POSTGRES_PASSWORD=
# REDIS_PASSWORD=
# {PREFIX}API_KEY and {PREFIX}SECRET_KEY, below.
#
# A file may hold a secret or a URL with a password: the variable with _FILE behind its name then names the file.
#
# And it takes, at build time, where else pip may look for packages, such as an index of CPU builds of torch:
# PIP_EXTRA_INDEX_URL=
"""


def settings_page() -> str:
    """Return `docs/settings.md`: the table of variables of each package, then the training file."""
    lines = [SETTINGS_HEAD]
    for title, config in CONFIGS.items():
        fields = {f"{PREFIX}{name.upper()}": config.model_fields[name] for name in variables(config)}
        lines += [f"## {title}\n", *_table("variable", fields), ""]
    lines[-1] = FILE_HEAD.rstrip("\n")
    top = {name: field for name, field in TrainingFile.model_fields.items() if name != "sage"}
    lines += ["", *_table("field", top), "\nUnder `sage`, the GraphSAGE term:\n"]
    lines += _table("field", SageConfig.model_fields)
    return "\n".join(lines) + "\n"


def example_environment() -> str:
    """Return `.env.example`: every variable in a comment, with its default."""
    lines = [EXAMPLE_HEAD.rstrip("\n")]
    for title, config in CONFIGS.items():
        lines += ["", f"# --- {title}"]
        for name in variables(config):
            field = config.model_fields[name]
            comment = wrap(str(field.description), width=LINE, initial_indent="# ", subsequent_indent="#   ")
            lines += [*comment, f"# {PREFIX}{name.upper()}={_default(field)}"]
    return "\n".join(lines) + "\n"


FILES: dict[str, Callable[[], str]] = {"docs/settings.md": settings_page, ".env.example": example_environment}
"""The function that makes each file, by its path in the repository."""


def write(repository: Path) -> None:
    """Write the files and replace older ones."""
    for name, content in FILES.items():
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content(), encoding="utf-8")


def _table(first: str, fields: Mapping[str, FieldInfo]) -> Iterator[str]:
    yield f"| {first} | default | unit | allowed | meaning |"
    yield "|---|---|---|---|---|"
    for name, field in fields.items():
        default = _default(field)
        shown = f"`{default}`" if default else ""
        meaning = str(field.description).replace("<", "\\<")
        yield f"| `{name}` | {shown} | {_unit(name)} | {_allowed(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    """Return the default as text for the environment or the training file."""
    default = field.get_default(call_default_factory=True)
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return json.dumps([str(value) if value == inf else value for value in default])  # JSON has no infinity
    return "" if default is None or isinstance(default, BaseModel) else str(default)


def _unit(name: str) -> str:
    return UNITS.get(name.lower().rpartition("_")[2], "")


def _allowed(field: FieldInfo) -> str:
    """Return the bounds of a number, or the list of allowed names."""
    bounds = {kind: getattr(one, kind) for one in field.metadata for kind in BOUNDS if hasattr(one, kind)}
    if bounds.keys() == {"ge", "le"}:
        return f"{bounds['ge']:,} to {bounds['le']:,}"
    if bounds:
        return ", ".join(f"{words} {bounds[kind]:,}" for kind, words in BOUNDS.items() if kind in bounds)
    if field.annotation is bool:
        return "true, false"
    return ", ".join(_names(field.annotation))


def _names(annotation: Any) -> list[str]:
    return [str(name) for name in get_args(annotation) if isinstance(name, str)]


if __name__ == "__main__":
    write(Path())
