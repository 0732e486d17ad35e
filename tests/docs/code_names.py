"""Dotted names of the prose, looked up in the code.

Our packages are read, not imported: their names stand in the source, and Evidently or torch would cost seconds. Names
of libraries are imported. In a docstring the first word may also be a module of the same room, or a name of its own
module: defined there, imported there (lazily, too), or an argument with a class as annotation.
"""

import ast
import functools
import importlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from graphstore.tables import metadata
from stream.kafka.topics import TOPICS
from tests.docs.pages import PACKAGES, ROOT

FILE_ENDINGS = re.compile(r"csv|dat|data|db|html|inter|item|js|json|jsonl|md|npy|onnx|pt|pt2|py|toml|ts|txt|yml")
GRAPH_STORES = frozenset({"user.x", "item.x", "item.stats"})
"""Node features of a snapshot's graph, as PyTorch Geometric names them."""

_TYPES = (ROOT / "serving/web/static/sagestream.d.ts").read_text(encoding="utf-8")
TAG_CALLS = frozenset(re.findall(r"^  (\w+)\(", _TYPES.partition("interface Tag {")[2], re.MULTILINE))
"""What a shop's page may call of the tag, by its types. In JavaScript, `sagestream` is the tag."""

DATA_NAMES = (
    {topic.name for topic in TOPICS}
    | {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
    | GRAPH_STORES
    | {f"sagestream.{name}" for name in TAG_CALLS}
)


def known(name: str, path: Path | None = None) -> bool:
    """Whether a dotted name means something: in the code, or as a topic, a column, a file, a node's features.

    `path` is the module whose docstring says it; None for a page. What begins with one of our packages is code.
    """
    first, *rest = name.split(".")
    if name in DATA_NAMES:
        return True
    if first in PACKAGES:
        return _resolves([first, *rest])
    return FILE_ENDINGS.fullmatch(rest[-1]) is not None or any(
        _resolves([*target, *rest]) for target in _targets(first, path)
    )


def _targets(first: str, path: Path | None) -> Iterator[list[str]]:
    """What the first word of a name may stand for, as absolute names."""
    yield [first]
    yield from _classes().get(first, ())
    if path is not None:
        yield from _namespace(path).get(first, ())
        yield [*_module(path)[:-1], first]


def _resolves(parts: Sequence[str]) -> bool:
    """Whether the longest module of the name has the rest as attributes."""
    for length in range(len(parts), 0, -1):
        if parts[0] not in PACKAGES:
            if (found := _library(".".join(parts[:length]))) is not None:
                return _has_attributes(found, parts[length:])
        elif (path := _file(parts[:length])) is not None:
            return _module_has(path, parts[length:])
    return False


def _library(name: str) -> object | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def _has_attributes(holder: object, names: Sequence[str]) -> bool:
    for name in names:
        if not hasattr(holder, name):
            return False
        holder = getattr(holder, name)
    return True


def _file(module: Sequence[str]) -> Path | None:
    path = ROOT.joinpath(*module)
    return next((found for found in (path.with_suffix(".py"), path / "__init__.py") if found.is_file()), None)


def _module_has(path: Path, names: Sequence[str]) -> bool:
    if not names:
        return True
    statements = list(_tree(path).body)
    for statement in statements:
        if isinstance(statement, ast.If):  # TYPE_CHECKING
            statements += statement.body
    return _body_has(path, statements, names)


def _body_has(path: Path, statements: Sequence[ast.stmt], names: Sequence[str]) -> bool:
    """Whether the statements of a module or class define `names[0]`, and that has the rest."""
    first, *rest = names
    for statement in statements:
        if isinstance(statement, ast.ClassDef) and statement.name == first:
            return not rest or _class_has(path, statement, rest)
        if isinstance(statement, ast.ImportFrom | ast.Import):
            targets = [target for name, target in _imported(statement) if name == first]
            if targets:
                return _resolves([*targets[0], *rest])
        elif first in _defined(statement):
            return not rest
    return False


def _class_has(path: Path, kind: ast.ClassDef, names: Sequence[str]) -> bool:
    own = {
        node.attr
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    if _body_has(path, kind.body, names) or (len(names) == 1 and names[0] in own):
        return True
    for base in kind.bases:
        first, *rest = ast.unparse(base).partition("[")[0].split(".")
        if any(_resolves([*target, *rest, *names]) for target in _namespace(path).get(first, ())):
            return True
    return False


def _defined(statement: ast.stmt) -> set[str]:
    """The names that a statement other than a class or an import gives to its module or class."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    targets = {ast.Assign: "targets", ast.AnnAssign: "target"}.get(type(statement))
    found = getattr(statement, targets) if targets else []
    named = [node for one in (found if isinstance(found, list) else [found]) for node in ast.walk(one)]
    return {node.id for node in named if isinstance(node, ast.Name)}


def _imported(statement: ast.ImportFrom | ast.Import) -> Iterator[tuple[str, list[str]]]:
    """(name in the module, what it stands for)."""
    prefix = statement.module.split(".") if isinstance(statement, ast.ImportFrom) and statement.module else []
    for alias in statement.names:
        yield alias.asname or alias.name, [*prefix, *alias.name.split(".")]


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _module(path: Path) -> list[str]:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return parts[:-1] if parts[-1] == "__init__" else parts


@functools.cache
def _classes() -> dict[str, list[list[str]]]:
    """Every class by its bare name that the six packages define at the top of a module or import from a library."""
    found: dict[str, list[list[str]]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(_tree(path)):
                if isinstance(node, ast.ImportFrom):
                    for name, target in _imported(node):
                        if name[0].isupper() and target[0] not in PACKAGES:
                            found.setdefault(name, []).append(target)
            for node in _tree(path).body:
                if isinstance(node, ast.ClassDef):
                    found.setdefault(node.name, []).append([*_module(path), node.name])
    return found


@functools.cache
def _namespace(path: Path) -> dict[str, list[list[str]]]:
    """The names of a module, lazy imports included, and its arguments by their annotations."""
    found: dict[str, list[list[str]]] = {}
    nodes = list(ast.walk(_tree(path)))
    for node in nodes:
        if isinstance(node, ast.ImportFrom | ast.Import):
            for name, target in _imported(node):
                found.setdefault(name, []).append(target)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append([*_module(path), node.name])
    for node in nodes:
        if isinstance(node, ast.arg) and node.annotation is not None:
            kind = node.annotation.value if isinstance(node.annotation, ast.Constant) else ast.unparse(node.annotation)
            found.setdefault(node.arg, []).extend(found.get(str(kind), ()))
    return found
