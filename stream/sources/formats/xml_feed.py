"""XML feeds: the products of an RSS or Atom feed as rows.

Arrives: an open file with `<item>` or `<entry>` elements, as Google Merchant feeds are. Leaves: blocks of text columns,
named as the elements are without their namespace (`g:id` is `id`). Next: `stream.sources.formats.opening` returns them.

The file is read element by element, and a product is forgotten when its row is made. Of elements of one name in a
product the first counts. Expat bounds what entities may grow to.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, ParseError

import numpy as np
import pandas as pd

from stream.sources.files.compressed import OpenFile, UnreadableFile
from stream.sources.formats.columns import Block, ColumnFile, Gauge

BEGINS = (b"<?xml", b"<rss", b"<feed")
PRODUCTS = ("item", "entry")
SAMPLED = 1_000
"""The names of columns come from so many products at the beginning."""
READ_BYTES = 1 << 16


class XmlFeed(ColumnFile):
    """An open feed."""

    unit = "product"

    def __init__(self, file: OpenFile) -> None:
        """Read the first products. Raises `UnreadableFile` when there is none."""
        self._file = file
        self._rows = self._products()
        self._sample = [row for row, _ in zip(self._rows, range(SAMPLED), strict=False)]
        if not self._sample:
            raise UnreadableFile("XML without any <item> or <entry>: no feed of products")
        self.header = list(dict.fromkeys(name for row in self._sample for name in row))

    @property
    def share(self) -> float:
        """How much of the file (0..1) is read."""
        return self._file.share

    def blocks(self, wanted: Sequence[str]) -> Iterator[Block]:
        """As `ColumnFile.blocks`."""
        gauge, done = Gauge(self._file), 0
        rows: list[dict[str, str]] = []
        for row in self._all():
            rows.append(row)
            if gauge.full(len(rows)):
                yield _block(rows, wanted, done)
                done, rows = done + len(rows), []
        if rows:
            yield _block(rows, wanted, done)

    def _all(self) -> Iterator[dict[str, str]]:
        yield from self._sample
        self._sample = []
        yield from self._rows

    def _products(self) -> Iterator[dict[str, str]]:
        builder: Any = ElementTree.XMLPullParser(("start", "end"))
        inside: list[Element] = []
        try:
            while data := self._file.read(READ_BYTES):
                builder.feed(data)
                yield from _found(builder.read_events(), inside)
            builder.close()
        except ParseError as error:
            line, column = error.position
            raise UnreadableFile(f"no XML at line {line}, column {column + 1}: {error.msg}") from error


def _found(events: Iterable[Any], inside: list[Element]) -> Iterator[dict[str, str]]:
    """Yield the products that end. `inside` holds the elements that are open."""
    for event, element in events:
        if event == "start":
            inside.append(element)
            continue
        inside.pop()
        if _name(element) in PRODUCTS:
            yield _row(element)
            element.clear()
            if inside:
                inside[-1].remove(element)  # else the parent would keep every product


def _row(product: Element) -> dict[str, str]:
    row: dict[str, str] = {}
    for element in product:
        row.setdefault(_name(element), (element.text or element.get("href") or "").strip())
    return row


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _block(rows: list[dict[str, str]], wanted: Sequence[str], done: int) -> Block:
    numbers = np.arange(done, done + len(rows), dtype=np.int64)
    table = pd.DataFrame({name: pd.Series([row.get(name, "") for row in rows], dtype="string") for name in wanted})
    return Block(table, numbers, numbers + 1, rows)
