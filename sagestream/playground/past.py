"""Past: imports the older events of a data set, and keeps the newest ones for the live replay.

Arrives: the options and the settings of the services. Leaves: the graph in SQL and Redis, and `Past`. Next:
`sagestream.playground.models` trains on the graph, `sagestream.playground.live` replays the kept events.

The events go through the same sink as live events. `import_past` runs in a process of its own, because a whole data set
needs hundreds of megabytes, which a process does not give back while it runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from graphstore import queries
from graphstore.config import GraphstoreConfig
from graphstore.progress import Progress
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine, read
from sagestream.datasets import read_dataset
from sagestream.error_messages import told
from sagestream.playground import state
from sagestream.playground.options import Options
from sagestream.playground.services import configured
from stream import replay
from stream.events import Interaction, encode
from stream.worker.sink import Sink

if TYPE_CHECKING:
    from stream.sources.table import EventTable

FUTURE_SHARE = 0.1
"""The share of events, the newest ones, that the import leaves out. They are replayed as live traffic."""


@dataclass(frozen=True)
class Past:
    """The result of the import."""

    known: state.PlaygroundState
    kept: Sequence[bytes]
    """The events from row `split_row` on, in order of time, encoded: objects would take ten times the memory."""
    titles: Mapping[str, str]
    """The title of each item."""
    rejected: Mapping[str, int]
    """Rows that were left out, by reason."""
    counts: Mapping[str, int]
    """Sizes of the graph, see `graphstore.queries.counts`."""
    stored: replay.Replayed | None
    """Counts of this import. None when an earlier start has imported the events."""
    understood: Sequence[str] = ()
    """What the columns of a file were taken for, and what they hold."""

    @property
    def upcoming(self) -> int:
        """The number of kept events that no start has replayed yet."""
        return len(self.kept) - (self.known.next_row - self.known.split_row)

    def replay(self) -> Iterator[Interaction]:
        """Yield the kept events that no start has replayed yet."""
        decode = msgspec.json.Decoder(Interaction).decode
        return map(decode, islice(self.kept, self.known.next_row - self.known.split_row, None))


@told
def import_past(options: Options, settings: Mapping[str, str], progress: Progress) -> Past:
    """Import the older events, unless an earlier start has done it.

    Raises `state.StateMismatch` when the state directory holds another data set, and the errors of `read_dataset`.
    """
    from stream.sources.files.compressed import EmptyFile
    from stream.sources.source import Reading  # loads pandas, which the parent process does without

    known = state.load(options.state_dir)
    if known is not None:
        known.check(options.dataset, options.sample, options.min_item_users, options.seed, str(options.words))
    progress("reading the data set", 0.0)
    reading = Reading()
    table = read_dataset(
        options.dataset,
        sample=options.sample,
        min_item_users=options.min_item_users,
        seed=options.seed,
        words=options.words,
        reading=reading,
    )
    if not len(table):
        left_out = ", ".join(f"{rows:,} {reason}" for reason, rows in table.rejected.items() if rows)
        raise EmptyFile(
            f"{options.dataset}: there is no event in it" + (f" (left out: {left_out})" if left_out else "")
        )
    graph = configured(GraphstoreConfig, settings)
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url)
    try:
        stored = None
        if known is None or not known.imported:
            known, stored = _store(
                Sink(engine, redis, visitor_days=graph.visitor_days),
                table,
                known or _begin(options, table),
                options,
                progress,
            )
        with read(engine) as connection:
            counts = queries.counts(connection)
    finally:
        redis.close()
        engine.dispose()
    return Past(
        known=known,
        kept=[encode(event) for event in table.events(known.split_row)],
        titles={item.item_id: item.title for item in table.items},
        rejected=table.rejected,
        counts=counts,
        stored=stored,
        understood=[line for found in reading.understood.values() for line in found.lines()],
    )


def _begin(options: Options, table: "EventTable") -> state.PlaygroundState:
    """Choose the split row, and save it before the first event is stored."""
    split = table.split(FUTURE_SHARE)
    known = state.PlaygroundState(
        dataset=options.dataset,
        sample=options.sample,
        min_item_users=options.min_item_users,
        seed=options.seed,
        words=str(options.words),
        split_row=split,
        # Shift the imported events so that they end now. A replayed event gets its time when it is sent.
        shift_ms=now_ms() - int(table.interactions["event_time"].iloc[split]),
        next_row=split,
        imported=False,
    )
    state.save(options.state_dir, known)
    return known


def _store(
    sink: Sink, table: "EventTable", known: state.PlaygroundState, options: Options, progress: Progress
) -> tuple[state.PlaygroundState, replay.Replayed]:
    split = known.split_row
    sink.store_items(table.items, now=now_ms())
    done = replay.store(
        sink,
        table.events(0, split, shift_ms=known.shift_ms),
        now=now_ms,
        report=lambda done: progress(f"{done.read:,} of {split:,} events", done.read / split),
    )
    sink.refresh_trending(now=now_ms())
    known = msgspec.structs.replace(known, imported=True)
    state.save(options.state_dir, known)
    return known, done
