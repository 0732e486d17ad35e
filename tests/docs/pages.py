"""The pages of prose, parsed: headings with their anchors, links, code spans, code blocks.

Only the Markdown that our pages use is read: ATX headings, fenced blocks, inline links, spans in single back-ticks.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("graphstore", "stream", "training", "serving", "monitoring", "sagestream")

_FENCE = re.compile(r"^( *)(```+)\s*(\S*)\s*\n(.*?)^\1\2\s*$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced code block: its language (empty where none is named) and its text."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        """Its path from the root of the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @functools.cached_property
    def blocks(self) -> list[Block]:
        """The code blocks, in order."""
        return [Block(match[3], match[4]) for match in _FENCE.finditer(self.text)]

    @functools.cached_property
    def prose(self) -> str:
        """The text without code blocks and comments."""
        return _COMMENT.sub("", _FENCE.sub("", self.text))

    @functools.cached_property
    def spans(self) -> list[str]:
        """What stands between back-ticks, line breaks as one space."""
        return [" ".join(match[1].split()) for match in _SPAN.finditer(self.prose)]

    @functools.cached_property
    def links(self) -> list[str]:
        """The targets of links and pictures."""
        return _LINK.findall(_SPAN.sub("", self.prose))

    @functools.cached_property
    def anchors(self) -> set[str]:
        """The names that a link may end with, as GitHub derives them from headings."""
        found: set[str] = set()
        for heading in _HEADING.findall(self.prose):
            slug = anchor(heading)
            names = (slug if not number else f"{slug}-{number}" for number in range(len(found) + 1))
            found.add(next(name for name in names if name not in found))
        return found

    @functools.cached_property
    def lines(self) -> list[str]:
        """The lines of code blocks without a language, continued ones joined."""
        texts = (re.sub(r"\\\n\s*", "", block.text) for block in self.blocks if not block.language)
        return [line.strip() for text in texts for line in text.splitlines() if line.strip()]

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one of its rank or above; raises `LookupError`."""
        rank = heading.partition(" ")[0]
        _, found, rest = self.text.partition(f"\n{heading}\n")
        if not found:
            raise LookupError(f"{self.name} has no heading {heading!r}")
        return re.split(rf"^#{{1,{len(rank)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def anchor(heading: str) -> str:
    """The anchor of a heading."""
    words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return words.replace(" ", "-")


@functools.cache
def pages() -> tuple[Page, ...]:
    """README, CONTRIBUTING and everything in `docs/`; the changelog speaks of what was, too, and is not held."""
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return tuple(Page(path, path.read_text(encoding="utf-8")) for path in files)


def page(name: str) -> Page:
    """The page at a path from the root; raises `LookupError` where there is none."""
    found = next((one for one in pages() if one.name == name), None)
    if found is None:
        raise LookupError(f"no page {name}")
    return found
