"""Which metrics each process registers, read from its imports: nothing is started and nothing is imported."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import PACKAGES, ROOT

PROCESSES = ("worker", "nearline", "publisher", "scheduler", "serve", "monitor", "ranker")
TYPES = {"Counter": "counter", "Gauge": "gauge", "Histogram": "histogram"}
LAZY = {"serve": ("serving.web.health", "serving.web.asgi"), "ranker": ("serving.online.application",)}
"""What a process loads by its name, or later than at its start."""


class Metric(NamedTuple):
    """One metric as it is written in the code."""

    name: str
    type: str
    labels: tuple[str, ...]


@functools.cache
def modules() -> dict[str, Path]:
    """The file of each module of our packages, by its name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    }


def metrics_of(module: str) -> list[Metric]:
    """The metrics that a module defines, whatever constructor it names them with."""
    source = modules()[module].read_text(encoding="utf-8")
    if "prometheus_client" not in source:
        return []
    found = []
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in TYPES and call.args:
            name, labels = ast.literal_eval(call.args[0]), ()
            if len(call.args) > 2:
                labels = tuple(ast.literal_eval(call.args[2]))
            kind = TYPES[call.func.id]
            name = name.removesuffix("_total") + "_total" if kind == "counter" else name
            found.append(Metric(name, kind, labels))
    return found


def metrics_in_code() -> set[Metric]:
    """The metrics of all our modules."""
    return {metric for module in modules() for metric in metrics_of(module)}


@functools.cache
def processes_by_metric() -> dict[str, tuple[str, ...]]:
    """The processes that register each metric, by its name."""
    runners = ast.parse(modules()["sagestream.runners"].read_text(encoding="utf-8"))
    functions = {node.name: node for node in runners.body if isinstance(node, ast.FunctionDef)}
    found: dict[str, tuple[str, ...]] = {}
    for process in PROCESSES:
        loaded: set[str] = set()
        begin = [name for node in ast.walk(functions[f"run_{process}"]) for name in _imported(node)]
        _load([*begin, *_at_start("sagestream.runners"), *LAZY.get(process, ())], loaded)
        for module in loaded:
            for metric in metrics_of(module):
                found[metric.name] = (*found.get(metric.name, ()), process)
    return found


def _load(names: list[str], loaded: set[str]) -> None:
    while names:
        name = names.pop()
        if name not in loaded:
            loaded.add(name)
            names += _at_start(name)


@functools.cache
def _at_start(module: str) -> tuple[str, ...]:
    """What the module imports when it is loaded: not what stands in functions, or is for types alone."""
    return tuple(_imports(ast.parse(modules()[module].read_text(encoding="utf-8"))))


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield from _imported(child)
        yield from _imports(child)


def _imported(node: ast.AST) -> Iterator[str]:
    """Our modules that an import statement loads. A package's name may stand for one of its modules."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [one.name for one in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
    for name in names:
        parts = name.split(".")
        yield from (part for end in range(1, len(parts) + 1) if (part := ".".join(parts[:end])) in modules())
