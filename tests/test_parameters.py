"""A function with more than seven parameters says why: ruff finds it, and here its reason is asked for."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("graphstore", "stream", "training", "serving", "monitoring", "sagestream", "benchmarks", "tests")
EXCUSED = re.compile(r"#\s*noqa:[^#\n]*\bPLR0913\b(?P<said>.*)")


def excuses(text: str) -> list[str]:
    """What stands behind each noqa of the rule."""
    return [found["said"].removeprefix(" - ").strip() for found in EXCUSED.finditer(text)]


def test_ruff_asks_for_at_most_seven() -> None:
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "PLR0913" in lint["select"]
    assert lint["pylint"]["max-args"] == 7
    exempt = [pattern for pattern, rules in lint["per-file-ignores"].items() if "PLR0913" in rules]
    assert exempt == ["sagestream/verbs/*"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exception_has_a_reason(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    bare = [
        str(file.relative_to(ROOT)) for file in files for said in excuses(file.read_text()) if len(said.split()) < 3
    ]
    assert bare == []


@pytest.mark.parametrize("line", ["def f(  # noqa: PLR0913", "def f(  # noqa: E501, PLR0913 - so", "# noqa: PLR0913 -"])
def test_a_bare_exception_is_found(line: str) -> None:
    (said,) = excuses(line)
    assert len(said.split()) < 3
