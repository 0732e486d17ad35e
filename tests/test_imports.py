"""Every module can be imported."""

import importlib
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import django
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMMANDS = {"sagestream.__main__", "graphstore.migrations.env"}
"""What runs when it is imported: the command line, and Alembic's environment."""


def modules() -> list[str]:
    """The dotted name of every module that the project installs, except commands."""
    roots = [pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    files = [file.relative_to(ROOT).with_suffix("") for root in roots for file in sorted((ROOT / root).rglob("*.py"))]
    names = {".".join(file.parts).removesuffix(".__init__") for file in files}
    assert names >= COMMANDS
    return sorted(names - COMMANDS)


def import_all() -> None:
    """Import every module, with the warning filters that pytest has."""
    for line in PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"]:
        action, message, category = [*line.split(":"), "", ""][:3]
        kind = getattr(importlib.import_module("builtins"), category or "Warning")
        warnings.filterwarnings(action, message=message, category=kind)
    django.setup()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently and what it imports use parts of other libraries that will go
        importlib.import_module("monitoring.drift.assessment")
    for name in modules():
        importlib.import_module(name)


@pytest.mark.slow
def test_every_module_can_be_imported() -> None:
    """In a process of its own: other tests import some modules first, and that can hide what a module lacks."""
    assert len(modules()) > 200
    done = subprocess.run(
        [sys.executable, "-c", "from tests.test_imports import import_all; import_all()"],
        cwd=ROOT,
        env={"PATH": "", "DJANGO_SETTINGS_MODULE": PROJECT["tool"]["pytest"]["ini_options"]["DJANGO_SETTINGS_MODULE"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
