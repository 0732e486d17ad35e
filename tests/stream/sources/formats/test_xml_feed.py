"""XML feeds: products as rows, a damage with its line, and memory that does not grow."""

from pathlib import Path

import pytest

from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.opening import open_columns
from stream.sources.rejections import Rejections
from tests.stream.sources.published import write

ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">'
    '<entry><g:id>1</g:id><title>a &amp; b</title><link href="https://s/1"/><title>no</title></entry>'
    "<entry><g:id>2</g:id><g:brand><![CDATA[B > C]]></g:brand></entry></feed>"
)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a feed."""
    with open_columns(path, Rejections()) as file:
        return [row for block in file.blocks(file.header) for row in block.table.to_dict("records")]


def test_products_of_an_atom_feed(tmp_path: Path) -> None:
    assert rows(write(tmp_path / "feed", "\ufeff" + ATOM)) == [
        {"id": "1", "title": "a & b", "link": "https://s/1", "brand": ""},
        {"id": "2", "title": "", "link": "", "brand": "B > C"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ATOM[:-20], "no XML at line 1"),
        ("<rss><channel></channel></rss>", "no feed of products"),
        ("<?xml version='1.0'?><html><p></html>", "no XML at line 1, column"),
    ],
)
def test_a_damaged_feed_is_refused_with_its_place(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "feed.xml", content)
    with pytest.raises(UnreadableFile, match=message) as refused:
        rows(path)
    assert str(path) in str(refused.value)


def test_products_before_a_damage_are_read(tmp_path: Path) -> None:
    products = "".join(f"<item><id>{n}</id></item>" for n in range(5_000))
    path = write(tmp_path / "feed.xml", f"<rss><channel>{products}</oops></channel></rss>")
    with open_columns(path, Rejections()) as file, pytest.raises(UnreadableFile, match="mismatched"):
        for block in file.blocks(["id"]):
            assert block.table["id"].iloc[0] == "0"
