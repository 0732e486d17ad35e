"""The log read back: every row once, in pages, beside writers."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from graphstore import history
from graphstore.history import Selection
from graphstore.session import open_engine, write
from graphstore.state import raise_to
from graphstore.tables import COMPACTION_HORIZON
from stream.events import EventType, Interaction
from stream.worker.sink import Sink
from tests.stream.worlds import NOW, TIME, live, random_events

ALL = Selection()


def sink_of(engine: Engine) -> Sink:
    return Sink(engine, None, recent_items=5, trending_items=5)


def purchases(count: int) -> Iterator[Interaction]:
    for number in range(count):
        yield Interaction(
            event_id=f"e{number}",
            event_type=EventType.PURCHASE,
            user_id=f"u{number % 3}",
            item_id=f"i{number % 5}",
            event_time=TIME + timedelta(seconds=number),
        )


@pytest.mark.parametrize("page_rows", [1, 2, 7, 1000])
def test_pages_of_any_size_give_each_row_once(page_rows: int, engine: Engine) -> None:
    rng = random.Random(3)
    live(sink_of(engine), random_events(rng, 200), rng)
    readers = (
        history.item_rows,
        history.user_rows,
        history.identity_rows,
        history.interaction_rows,
        history.impression_rows,
        history.seen_rows,
    )
    for rows in readers:
        whole = list(rows(engine, ALL))
        assert len(whole) == len(set(map(repr, whole))) > 3
        assert list(rows(engine, ALL, page_rows=page_rows)) == whole


def test_writers_are_not_kept_waiting_and_what_they_add_ends_nothing(engine: Engine) -> None:
    """Between two pages no transaction is open; a log that grows while it is read is read to its old end."""
    sink = sink_of(engine)
    sink.store_interactions(list(purchases(10)), now=NOW)
    seen = []
    for number, row in enumerate(history.interaction_rows(engine, ALL, page_rows=3)):
        seen.append(row.event_id)
        late = Interaction(
            event_id=f"late{number}", event_type=EventType.VIEW, user_id="u", item_id="i", event_time=TIME
        )
        sink.store_interactions([late], now=NOW)
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert seen == [f"e{n}" for n in range(10)]


def test_a_database_is_known_by_every_name(engine: Engine, postgres_url: str, tmp_path: Path) -> None:
    again = open_engine(engine.url.render_as_string(hide_password=False))
    assert history.same_database(engine, again)
    again.dispose()
    for url in (f"sqlite:///{tmp_path / 'other.db'}", postgres_url):
        other = open_engine(url)
        assert not history.same_database(engine, other)
        other.dispose()
    if engine.dialect.name == "sqlite":
        link = tmp_path / "link.db"
        link.symlink_to(str(engine.url.database))
        linked = open_engine(f"sqlite:///{link}")
        assert history.same_database(engine, linked)
        linked.dispose()


def test_a_compacted_log_says_from_when_on_it_is_whole(engine: Engine) -> None:
    assert history.compaction_horizon(engine) == 0
    with write(engine) as connection:
        raise_to(connection, COMPACTION_HORIZON, NOW)
    assert history.compaction_horizon(engine) == NOW


def test_an_empty_log_has_no_rows(engine: Engine) -> None:
    assert list(history.interaction_rows(engine, ALL)) == []
    assert history.count_rows(engine, ALL) == 0
