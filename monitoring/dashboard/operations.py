"""Operations: health of each process, lag, freshness, backlog, dead letters, alarms and errands.

Arrives: the surroundings, `stream_progress`, the backlog in SQL, alarms, the state of errands. Leaves: the page
`operations`. Next: `monitoring.dashboard.show` writes it.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, func, select

from graphstore.redis.errands import State as ErrandState
from graphstore.tables import alarms, dirty_shoppers, dirty_windows, stale_people, stream_progress
from monitoring.dashboard.dead_letters import DeadLetters, Kind, producers_in_words, subject_of
from monitoring.dashboard.freshness import read_freshness
from monitoring.dashboard.surroundings import Surroundings
from monitoring.dashboard.wording import age, moment, short, window
from monitoring.windows import TimeWindow
from serving.dashboard.blocks import Action, AnyBlock, Cell, Column, Page, Row, Rows, State, Tile, Tiles

MAX_COUNTED = 10_000
"""A backlog is counted to here: a count of a million rows would cost more than the page."""
ALARMS = 20
TEXT_CHARACTERS = 300

PROCESS_STATES: dict[str, State] = {"ready": "ok", "not ready": "warn", "away": "bad", "unknown": "none"}
ERRAND_STATES: dict[str, State] = {"done": "ok", "failed": "bad", "running": "none", "waiting": "none"}

BACKLOGS: tuple[tuple[str, Table, str], ...] = (
    ("Shoppers to attribute again", dirty_shoppers, "their clicks, lists or logins changed"),
    ("Hours to count again", dirty_windows, "late clicks came for them"),
    ("Shoppers to rebuild in Redis", stale_people, "they logged in"),
)


def compose(connection: Connection, surroundings: Surroundings, errands: Sequence[ErrandState], *, now: int) -> Page:
    """Return the page as of `now` (epoch ms). `errands` are the newest ones."""
    blocks: list[AnyBlock] = [
        _processes(surroundings, now),
        _backlog(connection, surroundings, now),
        _topics(connection, surroundings, now),
        _dead_letters(surroundings, now),
        _samples(surroundings.dead_letters),
        _alarms(connection),
        _errands(errands),
    ]
    return Page(name="operations", title="Operations", made_at=now, blocks=blocks)


def _looked(surroundings: Surroundings) -> str:
    return "" if surroundings.looked_at is None else f"at {moment(surroundings.looked_at)} UTC"


def _processes(surroundings: Surroundings, now: int) -> Rows:
    rows = []
    for process in surroundings.processes:
        words = ", ".join(f"{need}: {word}" for need, word in process.words.items())
        cells: list[Cell | str | float | None] = [
            process.process,
            process.address,
            Cell(value=process.state, state=PROCESS_STATES[process.state]),
            short(process.said or words, TEXT_CHARACTERS),
        ]
        rows.append(Row(cells=cells))
    return Rows(
        title="Processes",
        note="What each process answers on its probe. Away: nobody answers there.",
        columns=[Column(name="process"), Column(name="where"), Column(name="state"), Column(name="what it says")],
        rows=rows,
        window=_looked(surroundings),
        empty="The processes were not asked yet.",
    )


def _backlog(connection: Connection, surroundings: Surroundings, now: int) -> Tiles:
    found, at = read_freshness(connection), f"at {moment(now)} UTC"
    fresh = None if found is None else window(TimeWindow(found.first_at, max(found.last_at, found.first_at)))
    nothing = "no event was stored yet"
    tiles = [
        Tile(
            label=f"From event to graph, {name}",
            value=None if found is None else getattr(found, quantile),
            unit="seconds",
            n=None if found is None else found.events,
            n_of="newest events",
            window=fresh or "",
            note=nothing if found is None else "",
        )
        for name, quantile in (("median", "p50"), ("99 %", "p99"))
    ]
    tiles.append(
        Tile(
            label="Newest event stored",
            value=None if found is None else float(found.last_at),
            unit="time",
            window=at,
            note=nothing if found is None else f"{age(now - found.last_at)} ago",
        )
    )
    known = surroundings.looked_at is not None and not surroundings.kafka_problem
    tiles.append(
        Tile(
            label="Messages that are not in the graph yet",
            value=float(sum(lag.behind for lag in surroundings.lags)) if known else None,
            unit="count",
            n=len(surroundings.lags) if known else None,
            n_of="partitions",
            window=_looked(surroundings),
            note="" if known else surroundings.kafka_problem or "Kafka was not asked yet",
        )
    )
    for label, table, why in BACKLOGS:
        counted = select(table.c[table.primary_key.columns.keys()[0]]).limit(MAX_COUNTED + 1).subquery()
        rows = connection.scalar(select(func.count()).select_from(counted)) or 0
        said = f"{why}; more than {MAX_COUNTED:,}" if rows > MAX_COUNTED else why
        tiles.append(Tile(label=label, value=float(min(rows, MAX_COUNTED)), unit="count", window=at, note=said))
    return Tiles(title="Freshness and backlog", tiles=tiles)


def _topics(connection: Connection, surroundings: Surroundings, now: int) -> Rows:
    query = select(
        stream_progress.c.topic,
        func.max(stream_progress.c.updated_at),
        func.count(),
        func.sum(stream_progress.c.next_offset),
    ).group_by(stream_progress.c.topic)
    stored = {row[0]: row[1:] for row in connection.execute(query)}
    topics = sorted({*stored, *(lag.topic for lag in surroundings.lags)})
    rows = []
    for topic in topics:
        lags = [lag for lag in surroundings.lags if lag.topic == topic]
        remarks = "; ".join(f"partition {lag.partition}: {lag.remark}" for lag in lags if lag.remark)
        known = stored.get(topic)
        cells: list[Cell | str | float | None] = [
            topic,
            float(known[1]) if known else None,
            float(known[0]) if known else None,
            float(sum(lag.behind for lag in lags)) if lags else None,
            Cell(value=short(remarks, TEXT_CHARACTERS), state="warn" if remarks else "none"),
        ]
        rows.append(Row(cells=cells))
    return Rows(
        title="Topics",
        note=surroundings.kafka_problem,
        columns=[
            Column(name="topic"),
            Column(name="partitions stored", unit="count"),
            Column(name="last stored", unit="time"),
            Column(name="behind", unit="count"),
            Column(name="remark"),
        ],
        rows=rows,
        window=_looked(surroundings),
        empty="Nothing was read from Kafka yet.",
    )


def _dead_letters(surroundings: Surroundings, now: int) -> Rows:
    found = surroundings.dead_letters
    rows = [_kind(kind) for kind in found.kinds]
    if rows:
        every = Action(errand="dlq_replay", subject="", label="Replay all")
        rows.append(Row(cells=["all", "", float(found.letters), None, None, ""], actions=[every]))
    note = "Letters that no replay has handled. A replay sends those that are valid now; known events count once."
    if surroundings.dead_letter_problem:
        note = f"{surroundings.dead_letter_problem}. {note}"
    elif not found.complete and found.counted_at is not None:
        note = f"Still counting. {note}"
    return Rows(
        title="Dead letters",
        note=note,
        columns=[
            Column(name="topic"),
            Column(name="reason"),
            Column(name="letters", unit="count"),
            Column(name="first seen", unit="time"),
            Column(name="last seen", unit="time"),
            Column(name="producers"),
        ],
        rows=rows,
        window="" if found.counted_at is None else f"at {moment(found.counted_at)} UTC",
        empty="The queue was not read yet." if found.counted_at is None else "No dead letter waits.",
    )


def _kind(kind: Kind) -> Row:
    times = [None if at is None else float(at) for at in (kind.first_seen, kind.last_seen)]
    cells: list[Cell | str | float | None] = [
        kind.topic,
        kind.reason,
        float(kind.letters),
        *times,
        producers_in_words(kind.producers),
    ]
    actions = [Action(errand="dlq_replay", subject=subject_of(kind), label="Replay")] if kind.replayable else []
    return Row(cells=cells, actions=actions)


def _samples(found: DeadLetters) -> Rows:
    rows = [Row(cells=[kind.reason, sample]) for kind in found.kinds for sample in reversed(kind.samples)]
    return Rows(
        title="Samples of dead letters",
        note="The newest of each kind, only their beginning; what names a shopper is masked.",
        columns=[Column(name="reason"), Column(name="message")],
        rows=rows,
        window="" if found.counted_at is None else f"at {moment(found.counted_at)} UTC",
        empty="No dead letter waits.",
    )


def _alarms(connection: Connection) -> Rows:
    query = select(alarms).order_by(alarms.c.alarm_key.desc()).limit(ALARMS)
    rows = [
        Row(
            cells=[
                row.started_at,
                row.ended_at,
                Cell(value=row.name, state="bad" if row.ended_at is None else "none"),
                short(row.text, TEXT_CHARACTERS),
            ]
        )
        for row in connection.execute(query)
    ]
    return Rows(
        title="Alarms",
        columns=[
            Column(name="since", unit="time"),
            Column(name="until", unit="time"),
            Column(name="alarm"),
            Column(name="what"),
        ],
        rows=rows,
        window=f"the newest {len(rows)}" if rows else "",
        empty="No alarm was raised yet.",
    )


def _errands(errands: Sequence[ErrandState]) -> Rows:
    rows = [
        Row(
            cells=[
                one.asked_at,
                one.kind,
                one.who,
                Cell(value=one.state, state=ERRAND_STATES[one.state]),
                one.changed_at,
                short(one.said, TEXT_CHARACTERS),
            ]
        )
        for one in errands
    ]
    return Rows(
        title="Errands",
        note="What was asked for here in the last day. Subjects are not listed, because some name a shopper.",
        columns=[
            Column(name="asked", unit="time"),
            Column(name="what"),
            Column(name="who"),
            Column(name="state"),
            Column(name="since", unit="time"),
            Column(name="said"),
        ],
        rows=rows,
        window=f"the newest {len(rows)}" if rows else "",
        empty="Nothing was asked for in the last day.",
    )
