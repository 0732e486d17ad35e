"""The prose inside the code: docstrings, the strings under attributes, and comments."""

import ast
import functools
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import PACKAGES, ROOT

_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)", re.DOTALL)


@dataclass(frozen=True)
class Remark:
    """A docstring or comment: the file and line where it begins, and its text."""

    path: Path
    line: int
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def module(self) -> str:
        """The dotted name of the module that it stands in."""
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")

    @property
    def spans(self) -> list[str]:
        """What stands between back-ticks, line breaks as one space."""
        return [" ".join(match[1].split()) for match in _SPAN.finditer(self.text)]


@functools.cache
def remarks() -> tuple[Remark, ...]:
    """All of the six packages, in the order of files and lines."""
    return tuple(
        remark for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) for remark in remarks_of(path)
    )


def remarks_of(path: Path) -> list[Remark]:
    """Those of one file."""
    source = path.read_text(encoding="utf-8")
    found = [
        Remark(path, node.lineno, node.value.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    found += [
        Remark(path, token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    return sorted(found, key=lambda remark: remark.line)
