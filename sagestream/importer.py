"""Import: send a source's events to Kafka or store them in the graph; show and count rejected rows.

Arrives: an open `stream.sources.source.Source`. Leaves: events through `stream.replay`, and the counts of the import.
Next: the command line shows the counts.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from graphstore.session import now_ms
from sagestream.direct import open_sink
from sagestream.interruption import Interruption
from sagestream.printable import printable
from sagestream.stages import Stages
from stream import replay
from stream.config import StreamConfig
from stream.events import INTERACTIONS, MAX_FUTURE
from stream.kafka.producer import EventProducer
from stream.routes import Event
from stream.sources.datasets import complete_journey
from stream.sources.files.compressed import UnreadableFile
from stream.sources.opening import COMPLETE_JOURNEY
from stream.sources.rejections import Rejection, Rejections
from stream.sources.source import Reading, Source
from stream.sources.table import EventTable
from stream.sources.times import UNORDERED

Way = Literal["direct", "kafka", "dry"]
"""Where the events go."""

SHOWN_ROW = 120
SHOWN_COLUMNS = 1000
ADVICE = {UNORDERED: " (dates with - or / begin with the month; with --day-first they begin with the day)"}
"""Additional advice for a rejection reason."""


@dataclass(frozen=True)
class Sample:
    """A random sample of `users` users (None: all), with items that at least `min_item_users` of them touched."""

    users: int | None = None
    min_item_users: int = 1
    seed: int = 0

    @property
    def is_all(self) -> bool:
        """Whether the sample is the whole source. Then rows are streamed, otherwise all rows are read first."""
        return self.users is None and self.min_item_users <= 1


@dataclass
class Imported:
    """The result of an import. `failure` is the error that stopped the reading; earlier events are stored."""

    told: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    failure: UnreadableFile | None = None


@dataclass
class Importer:
    """One import. It prints `shown` rejected rows of each reason and writes all of them to `rejected_file`.

    With `redis_too`, a direct import also writes to Redis.
    """

    name: str
    source: Source
    stages: Stages
    interruption: Interruption
    sample: Sample = field(default_factory=Sample)
    shown: int = 0
    rejected_file: Path | None = None
    redis_too: bool = True
    _written: "IO[str] | None" = None
    _printed: dict[str, int] = field(default_factory=dict)

    def run(self, way: Way) -> Imported:
        """Import all events into the graph (`direct`) or to Kafka; `dry`: only read them.

        Raises the errors of the sink and the producer, and `graphstore.errors.UnusableFile`.
        """
        for part in self.source.parts:
            self.stages.say(f"{part.name}: {part.form}")
            if part.understood:
                self.stages.say(f"  {printable(part.understood, SHOWN_COLUMNS)}")
        for path in self.source.passed_over:
            self.stages.say((f"{path}: passed over, it is in no form of this source", "yellow"))
        for path, reason in self.source.unreadable:
            self.stages.say((f"{path}: passed over, {reason}", "yellow"))
        done = Imported()
        rejections = Rejections(self._tell, self.shown if self.rejected_file is None else None)
        reading = Reading(
            rejections,
            latest_ms=now_ms() + int(MAX_FUTURE.total_seconds() * 1000),
            stop=lambda: self.interruption.asked,
        )
        with ExitStack() as stack:
            if self.rejected_file is not None:
                with file_errors(self.rejected_file):
                    self._written = stack.enter_context(self.rejected_file.open("x", encoding="utf-8"))
            events, share = self._events(reading, done)
            with self.stages.stage("import", "Import") as show:

                def report(through: replay.Replayed) -> None:
                    show(
                        f"{through.read:,} events, {reading.rejections.counts.total():,} rows rejected", share(through)
                    )

                ways = {"direct": self._store, "kafka": self._produce, "dry": _count}
                sent = ways[way](events, report)
        done.interrupted = self.interruption.asked
        counts = dict(reading.rejections.counts)
        for reason, rows in counts.items():
            self.stages.say(f"left out: {rows:,} rows, {reason}{ADVICE.get(reason, '')}")
        for name, understood in reading.understood.items():
            self.stages.say(f"{name}: {understood.found()}")
            for warning in understood.warnings():
                self.stages.say((f"{name}: {printable(warning, SHOWN_COLUMNS)}", "yellow"))
        read = sent.sent.get(INTERACTIONS, 0)
        done.told = {"forms": {part.name: part.form for part in self.source.parts}}
        done.told["understood"] = {name: found.as_json() for name, found in reading.understood.items()}
        done.told |= {"read": read, "items": sent.read - read, "rejected": counts}
        if way == "direct":
            done.told |= {"stored": sent.stored, "duplicate": sent.duplicate, "erased": sent.erased, "late": sent.late}
        elif way == "kafka":
            done.told["produced"] = read
        return done

    def _events(self, reading: Reading, done: Imported) -> tuple[Iterator[Event], Callable[[replay.Replayed], float]]:
        if not self.sample.is_all:
            with self.stages.stage("read", "Read"):
                table = self._table(reading)
            total = max(len(table) + len(table.items), 1)
            return self._from_table(table), lambda through: through.read / total

        def events() -> Iterator[Event]:
            try:
                yield from replay.until(reading.stop, self.source.events(reading))
            except UnreadableFile as error:
                # The current batch is still stored: events before the damage are kept.
                done.failure = error

        return events(), lambda _: self.source.share(reading)

    def _table(self, reading: Reading) -> EventTable:
        users, least, seed = self.sample.users, self.sample.min_item_users, self.sample.seed
        if self.name == COMPLETE_JOURNEY:
            files = [part for part in self.source.parts if part.path is not None]
            items = Source(files).read(reading).items
            table = complete_journey.read(users=users, min_item_users=least, seed=seed, reading=reading)
            return replace(table, items=[*items, *table.items])
        return self.source.read(reading, users=users, min_item_users=least, seed=seed)

    def _from_table(self, table: EventTable) -> Iterator[Event]:
        yield from replay.until(lambda: self.interruption.asked, iter(table.items))
        yield from replay.until(lambda: self.interruption.asked, table.events())

    def _store(self, events: Iterator[Event], report: Callable[[replay.Replayed], None]) -> replay.Replayed:
        with open_sink(GraphstoreConfig(), redis_too=self.redis_too) as sink:
            return replay.store(sink, events, now=now_ms, report=report)

    def _produce(self, events: Iterator[Event], report: Callable[[replay.Replayed], None]) -> replay.Replayed:
        with EventProducer(StreamConfig()) as producer:
            return replay.produce(producer, events, report=report)

    def _tell(self, rejection: Rejection) -> None:
        if self._written is not None:
            told = {
                "file": rejection.path,
                rejection.unit: rejection.place,
                "reason": rejection.reason,
                "row": rejection.row,
            }
            self._written.write(json.dumps(told) + "\n")
        if self._printed.get(rejection.reason, 0) < self.shown:
            self._printed[rejection.reason] = self._printed.get(rejection.reason, 0) + 1
            line = f"{rejection.unit} {rejection.place:,}: {rejection.reason}: {printable(rejection.row, SHOWN_ROW)}"
            if len(self.source.parts) > 1:
                line = f"{rejection.path}: {line}"
            self.stages.console.print(line, soft_wrap=True)


def _count(events: Iterator[Event], report: Callable[[replay.Replayed], None]) -> replay.Replayed:
    """Read the events and store nothing."""
    done = replay.Replayed()
    for batch in replay.batches(events, replay.BATCH_EVENTS):
        done = done.plus(batch)
        report(done)
    return done
