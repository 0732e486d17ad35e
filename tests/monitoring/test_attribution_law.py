"""The law of attribution: whatever the order, delay, repetition and downtime, what is stored is what the rows say.

The credits are computed here a second time, event by event from all rows, without marks, batches or state.
"""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from graphstore.erase import erase_person
from graphstore.identities import IdentityRow, ingest_identities
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import open_engine, read, write
from graphstore.tables import (
    EVENT_TYPES,
    attributions,
    dirty_shoppers,
    dirty_windows,
    impressions,
    interactions,
    items,
    metric_windows,
    seen_items,
    users,
)
from graphstore.upserts import ImpressionRow, SeenRow, insert_impressions, insert_seen
from monitoring.attribution import Attributed, attribute
from monitoring.counts import recount
from monitoring.credit_windows import CreditWindows
from monitoring.dirty_windows import DAY_PAUSE_MS, Recounting, recount_dirty
from monitoring.windows import Figure, TimeWindow, stored_figure
from tests.databases import Databases, migrated_sqlite

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
START = 19_000 * DAY_MS
WINDOWS = CreditWindows(click_seconds=2 * 3600.0, conversion_seconds=5 * 3600.0)
TAKE_BACKS = [EVENT_TYPES.index("return"), EVENT_TYPES.index("cancel")]
PURCHASE = EVENT_TYPES.index("purchase")

Credits = dict[str, tuple[Any, ...]]

Act = tuple[str, Any]


def known_list(number: int) -> list[ImpressionRow]:
    """Return the list r`number`, around midnight. A list is the same whenever it arrives."""
    rng = random.Random(number)
    user, time = rng.choice(["ann", "ann", "s1", "s2", "bob"]), START + 19 * HOUR_MS + rng.randrange(14) * HOUR_MS // 2
    confirmed, wanted = rng.random() < 0.5, rng.choices(["apple", "pear"], k=rng.randint(1, 3))
    return [
        ImpressionRow(f"r{number}", place, user, item, "home", time, "m", "a", 1.0, 1.0, "batch", confirmed)
        for place, item in enumerate(wanted)
    ]


def event_of(rng: random.Random) -> InteractionRow:
    """Return an event near a list: of its shopper or another, at or before or long after it, naming it or not."""
    served = rng.choice(known_list(rng.randrange(12)))
    later = rng.choice([-1, 0, 1, 2, 4, 5, 9, 10, 11])
    return InteractionRow(
        f"e{rng.randrange(60)}",
        rng.choice([*range(len(EVENT_TYPES)), 1, PURCHASE, PURCHASE, *TAKE_BACKS]),
        served.user_id if rng.random() < 0.7 else rng.choice(["ann", "s1", "s2", "bob"]),
        served.item_id if rng.random() < 0.8 else "pear",
        served.event_time + later * HOUR_MS // 2 - rng.choice([0, 0, 0, 3_000, 60_000, 60_001]),
        value=rng.choice([None, 2.0, 3.0]),
        quantity=rng.choice([None, 1, 2, 3]),
        request_id=rng.choice([served.request_id, served.request_id, None, f"r{rng.randrange(12)}"]),
        position=rng.choice([None, 0, 2]),
        order_id=rng.choice([None, None, "o1", "o2"]),
        currency=rng.choice([None, "EUR"]),
    )


def act_of(rng: random.Random) -> Act:
    """Return something that happens."""
    what = rng.choice(["lists", "lists", "events", "events", "events", "seen", "logins", "pass", "pass", "again"])
    if what == "lists":
        return what, known_list(rng.randrange(12))
    if what == "events":
        return what, [event_of(rng) for _ in range(rng.randint(1, 4))]
    if what == "seen":
        user = rng.choice(["ann", "s1", "bob"])
        return what, [SeenRow(f"r{rng.randrange(12)}", rng.randrange(3), user, START + rng.randrange(30) * HOUR_MS)]
    if what == "logins":
        session, person = rng.choice(["s1", "s1", "s2"]), rng.choice(["ann", "ann", "s1", "bob"])
        return what, [IdentityRow(session, person, START + rng.randrange(30) * HOUR_MS)]
    return what, rng.choice([0.0, 9.0]) if what == "pass" else rng.randrange(30)


def story_of(seed: int) -> list[Act]:
    """Return what happens. Who is forgotten takes all their sessions along, so that comes seldom and late."""
    rng = random.Random(seed)
    story = [act_of(rng) for _ in range(rng.randint(10, 40))]
    if rng.random() < 0.3:
        story += [("forget", rng.choice(["bob", "s2"])), *(act_of(rng) for _ in range(rng.randint(0, 8)))]
    return story


stories = st.integers(0, 2**32 - 1).map(story_of)


class Monitor:
    """Passes with little time or enough. `restart` forgets what only the process knows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._now = START
        self.restart()

    def restart(self) -> None:
        self._done, self._memory = Attributed(), Recounting()

    def measure(self, seconds: float) -> None:
        self._now += DAY_PAUSE_MS // 3
        self._done = attribute(
            self._engine, windows=WINDOWS, budget_seconds=seconds, after=self._done.after, timer=lambda: 0.0
        )
        recount_dirty(self._engine, now=self._now, memory=self._memory, budget_seconds=seconds, timer=lambda: 0.0)


def live(engine: Engine, story: list[tuple[str, Any]]) -> None:
    """Let everything of the story happen, and then let the monitor finish."""
    monitor = Monitor(engine)
    for number, (act, what) in enumerate(story):
        if act == "again":
            act, what = story[what % max(number, 1)]
        if act == "pass":
            monitor.measure(what)
        elif act == "forget":
            erase_person(engine, what, now=START)
            monitor.restart()
        else:
            with write(engine) as connection:
                if act == "lists":
                    insert_impressions(connection, what)
                elif act == "events":
                    ingest_interactions(connection, what, now=START)
                elif act == "seen":
                    insert_seen(connection, what)
                elif act == "logins":
                    ingest_identities(connection, what)
    for _ in range(4):
        monitor.measure(9.0)


def stored(connection: Connection) -> Credits:
    return {
        row.event_id: (
            row.request_id, row.position, row.list_time, row.matched_by, row.order_id, row.revenue, row.currency,
            row.event_type, row.event_time,
        )
        for row in connection.execute(select(attributions))
    }  # fmt: skip


def said_by_the_rows(connection: Connection) -> Credits:
    """Look for the list of each event among all lists."""
    people = {row.user_key: row.person_key or row.user_key for row in connection.execute(select(users))}
    of_name = {row.user_id: people[row.user_key] for row in connection.execute(select(users))}
    goods_of = {row.item_key: row.item_id for row in connection.execute(select(items))}
    proved = {(row.request_id, row.position) for row in connection.execute(select(seen_items))}
    shown = connection.execute(select(impressions)).all()
    found: Credits = {}
    left: dict[tuple[int, str], list[list[Any]]] = defaultdict(list)
    rows = connection.execute(select(interactions)).all()
    for row in sorted(rows, key=lambda row: (row.event_time, row.event_type in TAKE_BACKS, row.event_id)):
        person, item = people[row.user_key], goods_of[row.item_key]
        if row.event_type in TAKE_BACKS:
            for bought in reversed(left[person, item]):
                pieces, price, credit = bought
                if pieces and row.order_id in (None, credit[4]):
                    taken = min(pieces, row.quantity or pieces)
                    bought[0] -= taken
                    if price is not None:
                        told = row.value if row.value is not None and row.currency in (None, credit[6]) else price
                        credit = (*credit[:5], -min(price, told) * taken, credit[6])
                    found[row.event_id] = (*credit, row.event_type, row.event_time)
                    break
            continue
        if EVENT_TYPES[row.event_type] not in ("click", "cart", "purchase"):
            continue
        window = round(1000 * (WINDOWS.conversion_seconds if row.event_type == PURCHASE else WINDOWS.click_seconds))
        theirs = [
            m
            for m in shown
            if m.item_id == item
            and of_name.get(m.user_id) == person
            and -60_000 <= row.event_time - m.event_time <= window
        ]
        named = [m for m in theirs if m.request_id == row.request_id]
        candidates = [
            m
            for m in theirs
            if m.event_time <= row.event_time and (m.confirmed or (m.request_id, m.position) in proved)
        ]
        if named:
            best = min(named, key=lambda m: (m.position != row.position, m.position))
        elif candidates:
            best = min(candidates, key=lambda m: (-m.event_time, m.request_id, m.position))
        else:
            continue
        money: tuple[Any, ...] = (None, None, None)
        if row.event_type == PURCHASE:
            paid = None if row.value is None else row.value * (row.quantity or 1)
            money = (row.order_id, paid, row.currency)
        credit = (best.request_id, best.position, best.event_time, "request" if named else "item", *money)
        if row.event_type == PURCHASE:
            left[person, item].append([row.quantity or 1, row.value, credit])
        found[row.event_id] = (*credit, row.event_type, row.event_time)
    return found


def counted(connection: Connection) -> list[Figure]:
    """Count every hour and day that has a list."""
    windows = set()
    for time in connection.scalars(select(impressions.c.event_time)):
        for width in (HOUR_MS, DAY_MS):
            windows.add(TimeWindow(time // width * width, (time // width + 1) * width))
    return recount(connection, sorted(windows)) if windows else []


def check(engine: Engine, story: list[tuple[str, Any]], *, few_rows: int) -> None:
    """Live through the story with small batches. A shopper with more than `few_rows` rows is read as a crawler is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitoring.attribution.MARKS_A_STEP", 2)
        patch.setattr("monitoring.attribution.ROWS_A_WRITE", 2)
        patch.setattr("monitoring.credit_rows.FEW_ROWS", few_rows)
        patch.setattr("monitoring.credit_rows.ROWS_AT_ONCE", 10)
        live(engine, story)
    with read(engine) as connection:
        assert connection.execute(select(dirty_shoppers)).all() == []
        assert connection.execute(select(dirty_windows)).all() == []
        assert stored(connection) == said_by_the_rows(connection)
        figures = [stored_figure(row) for row in connection.execute(select(metric_windows))]
        kept = {(figure.window, figure.segment): figure for figure in figures}
        fresh = {(f.window, f.segment): f for f in counted(connection)}
        gone = {key: figure for key, figure in kept.items() if key not in fresh}
        assert {key: kept[key] for key in kept.keys() - gone.keys()} == fresh
        assert not any(figure.detail["impressions"] or figure.segment != "all" for figure in gone.values())


@settings(max_examples=50)
@given(stories, st.sampled_from([3, 5_000]))
def test_what_is_stored_is_what_the_rows_say(
    tmp_path_factory: pytest.TempPathFactory, story: Any, few_rows: int
) -> None:
    path: Path = tmp_path_factory.mktemp("law") / "graph.db"
    engine = open_engine(migrated_sqlite(path))
    try:
        check(engine, story, few_rows=few_rows)
    finally:
        engine.dispose()
        path.unlink()


@pytest.mark.service
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(stories, st.sampled_from([3, 5_000]))
def test_it_is_so_on_postgresql(postgres: Databases, story: Any, few_rows: int) -> None:
    engine = open_engine(postgres.migrated())
    try:
        check(engine, story, few_rows=few_rows)
    finally:
        engine.dispose()
