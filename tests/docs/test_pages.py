"""The pages as files: short where they must be, linked, and about no machine."""

import re
from itertools import chain
from pathlib import Path

import pytest

from tests.docs.pages import PACKAGES, ROOT, Page, anchor, page, pages

README_LINES = 160
PICTURE_BYTES = 200_000
MACHINE = re.compile(r"(?<![\w.}])/(?:work|root|opt|home)/\w")
REGISTRY = re.compile(
    r"https?://[\w.-]*(?:pypi|pythonhosted|index|artifact|mirror|nexus|download\.pytorch)[\w.-]*", re.I
)


def test_the_readme_is_short() -> None:
    assert len(page("README.md").text.splitlines()) <= README_LINES


def test_the_readme_leads_to_every_page() -> None:
    linked = {link.partition("#")[0] for link in page("README.md").links}
    assert {one.name for one in pages()} - {"README.md"} <= linked


def broken(one: Page, link: str) -> bool:
    """Whether a link leads nowhere: no such file, or no such heading in it."""
    if re.match(r"[a-z]+:", link):
        return False
    path, _, fragment = link.partition("#")
    target = (one.path.parent / path).resolve() if path else one.path
    if not target.is_file():
        return True
    return bool(fragment) and fragment not in Page(target, target.read_text(encoding="utf-8")).anchors


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_has_a_target(page: Page) -> None:
    assert not [link for link in page.links if broken(page, link)]


def test_a_broken_link_is_noticed() -> None:
    one = Page(ROOT / "docs" / "x.md", "# A `b` c-d, e!\n\n## Same\n\n## Same\n\n[t](#nowhere) `[no](link)`\n")
    assert one.anchors == {"a-b-c-d-e", "same", "same-1"}
    assert one.links == ["#nowhere"]
    assert broken(one, "../nothing.md") and broken(one, "../README.md#nothing") and broken(one, "../docs")
    assert not broken(one, "../README.md") and not broken(one, f"../README.md#{anchor('Try it')}")


def test_pictures_are_small() -> None:
    files = list((ROOT / "docs" / "images").iterdir())
    assert files
    for file in files:
        assert file.stat().st_size < PICTURE_BYTES, file


def test_the_repository_names_no_machine_and_no_registry() -> None:
    code = chain.from_iterable((ROOT / name).rglob("*.py") for name in (*PACKAGES, "tests", "benchmarks"))
    prose = [path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *code] if path != Path(__file__)]
    for path in prose:
        assert not MACHINE.search(path.read_text(encoding="utf-8")), path
    names = ("Makefile", "Dockerfile", "pyproject.toml", "constraints.txt", "docker-compose.yml", ".env.example")
    for path in [*prose, ROOT / ".ci" / "run", *(ROOT / name for name in names if (ROOT / name).exists())]:
        assert not REGISTRY.search(path.read_text(encoding="utf-8")), path
    assert MACHINE.search("see /opt/kafka") and REGISTRY.search("https://pypi.example.org/simple")
