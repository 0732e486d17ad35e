"""History into the graph, through the same sink as live events, or onto Kafka."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from stream import events
from stream.events import Interaction
from stream.producer import EventProducer
from stream.sink import Sink

BATCH_EVENTS = 2_000
"""Events of one transaction: large enough to be cheap, small enough for a worker beside it to get its turn."""


@dataclass(frozen=True)
class Backfilled:
    """What a backfill did: events read, of them new and known before."""

    read: int = 0
    stored: int = 0
    duplicate: int = 0


def batches(source: Iterable[Interaction], size: int = BATCH_EVENTS) -> Iterator[list[Interaction]]:
    """The events in lists of `size`, the last one shorter."""
    batch: list[Interaction] = []
    for event in source:
        batch.append(event)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def store(
    sink: Sink, source: Iterable[Interaction], *, now: Callable[[], int], report: Callable[[int], None]
) -> Backfilled:
    """Straight into the graph, a transaction a batch; `report(events so far)`. Killed, it may simply run again."""
    done = Backfilled()
    for batch in batches(source):
        stored = sink.store_interactions(batch, now=now())
        done = Backfilled(done.read + len(batch), done.stored + stored.stored, done.duplicate + stored.duplicate)
        report(done.read)
    return done


def produce(producer: EventProducer, source: Iterable[Interaction], *, report: Callable[[int], None]) -> int:
    """Onto `interactions`; the number of events, all acknowledged. Raises `stream.producer.DeliveryError`."""
    sent = 0
    for batch in batches(source):
        for event in batch:
            producer.send(events.INTERACTIONS, event, key=event.user_id)
        producer.flush()
        sent += len(batch)
        report(sent)
    return sent


class Pace:
    """Holds a loop to a rate, measured from its start so that short delays even out; 0: no limit."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._begun = time.monotonic()

    def wait(self, done: int) -> None:
        """Sleep as long as `done` events are ahead of the rate."""
        if self._rate:
            time.sleep(max(done / self._rate - (time.monotonic() - self._begun), 0.0))
