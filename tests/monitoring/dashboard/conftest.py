"""A small shop whose stored figures are known: written as the monitor writes them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from graphstore.session import write
from graphstore.tables import metadata
from monitoring.counts import METRIC, Counts
from monitoring.dashboard.series import DAY, HOUR
from monitoring.windows import ALL, Figure, TimeWindow, write_figures
from serving.dashboard.blocks import AnyBlock, Chart, Page, Rows, Tile, Tiles

NOON = 1_700_000_000_000 // DAY * DAY + DAY // 2


def counts(shown: int, clicks: int = 0, *, orders: int = 0, viewers: int | None = None, **more: Any) -> Counts:
    """Counts of shoppers who are shown one item each, unless `viewers` says that there are fewer."""
    people = shown if viewers is None else viewers
    each = shown / people if people else 0
    cluster = {"n": people, "xx": round(people * each * each), "yy": clicks, "xy": round(clicks * each)}
    cluster |= {"cc": orders, "xc": round(orders * each), "pp": orders, "xp": round(orders * each)}
    given: dict[str, Any] = {
        "lists": shown,
        "impressions": shown,
        "viewers": people,
        "clicks": clicks,
        "carts": orders,
        "purchases": orders,
        "orders": orders,
        "cluster": cluster,
    }
    return Counts(**(given | more))


class Store:
    """Writes what the monitor, the scheduler and operators leave behind. Times are epoch ms."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def window(self, start: int, width: int, found: Counts, segment: str = ALL) -> None:
        """Store the counts of one window."""
        rate = found.ctr()
        span = TimeWindow(start, start + width)
        with write(self.engine) as connection:
            write_figures(connection, [Figure(METRIC, segment, span, rate.value, rate.low, rate.high, found.detail())])

    def day(self, days_ago: int, found: Counts, segment: str = ALL) -> None:
        """Store the counts of a day."""
        self.window(NOON // DAY * DAY - days_ago * DAY, DAY, found, segment)

    def hour(self, hours_ago: int, found: Counts, segment: str = ALL) -> None:
        """Store the counts of an hour; 0: the hour that begins at noon."""
        self.window(NOON - hours_ago * HOUR, HOUR, found, segment)

    def put(self, table: str, *rows: Mapping[str, Any]) -> None:
        """Insert rows."""
        with write(self.engine) as connection:
            for row in rows:
                connection.execute(insert(metadata.tables[table]).values(**row))


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    """On each database."""
    yield Store(engine)


@pytest.fixture
def sqlite_store(sqlite_engine: Engine) -> Store:
    """For what does not depend on the database."""
    return Store(sqlite_engine)


def block(page: Page, title: str) -> AnyBlock:
    """The block with this title."""
    (found,) = [one for one in page.blocks if one.title == title]
    return found


def rows(page: Page, title: str) -> Rows:
    found = block(page, title)
    assert isinstance(found, Rows)
    return found


def chart(page: Page, title: str) -> Chart:
    found = block(page, title)
    assert isinstance(found, Chart)
    return found


def tiles(page: Page, title: str) -> dict[str, Tile]:
    found = block(page, title)
    assert isinstance(found, Tiles)
    return {tile.label: tile for tile in found.tiles}


def table(page: Page, title: str) -> list[list[Any]]:
    """The values of a table's cells."""
    return [[getattr(cell, "value", cell) for cell in row.cells] for row in rows(page, title).rows]
