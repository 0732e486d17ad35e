"""Record batches lean on private names of Faust: these tests fail, with the name, when an upgrade changes them.

The consumer and the streams below are Faust's and ours; only the broker under them is a list.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import faust.streams
import pytest
from aiokafka.consumer.consumer import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Subscription, SubscriptionState
from aiokafka.structs import ConsumerRecord
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka import record_batches as module
from stream.kafka.record_batches import PRIVATE_NAMES, PRIVATE_STATE, BatchApp, LostBatch, RecordBatch, record_batches
from stream.worker import shutdown

TOPIC = TP("interactions", 0)
OTHER = TP("catalog", 0)


def test_the_versions_are_those_that_were_proved() -> None:
    assert (version("faust-streaming"), version("aiokafka")) == ("0.15.3", "0.14.0"), (
        "record batches use private names of both: read stream/kafka/record_batches.py against the new sources, "
        "run the kill tests, then change the pins and this line"
    )


@pytest.mark.parametrize(("owner", "names"), [*PRIVATE_NAMES.items(), *shutdown.PRIVATE_NAMES.items()])
def test_every_private_name_is_still_there(owner: type, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not callable(getattr(owner, name, None))]
    assert not missing, (
        f"{owner.__module__}.{owner.__qualname__} lost {missing}: see stream.kafka.record_batches, .shutdown"
    )


def test_every_private_attribute_is_still_there() -> None:
    missing = [name for name in PRIVATE_STATE if name not in Consumer.__annotations__]
    assert not missing, f"Faust's consumer lost {missing}: see stream.kafka.record_batches"
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms" in source, "the wait of a fetch is set elsewhere now"
    names = inspect.getsource(AIOKafkaConsumer.__init__)
    assert "self._subscription = " in names
    assert "self._fetch_max_wait_ms = " in names
    assert "self._fetch_max_wait_ms," in inspect.getsource(Fetcher), "a fetch takes its wait from elsewhere now"
    assert isinstance(SubscriptionState.subscription, property)
    assert isinstance(Subscription.assignment, property)


class Broker:
    """A log a partition, with what aiokafka keeps of it: positions, committed offsets, the assignment."""

    def __init__(self, **logs: int) -> None:
        self.logs = {TP(topic, 0): [record(offset, topic) for offset in range(n)] for topic, n in logs.items()}
        self.committed: dict[TP, int | None] = dict.fromkeys(self.logs)
        self.seek_fails = False
        self.batch = 10
        self.before_return: Callable[[], None] = lambda: None
        self._closed = False
        self._max_poll_records = 1000
        self._fetcher = SimpleNamespace(
            _closed=False,
            _subscriptions=SimpleNamespace(fetch_context=nullcontext),
            fetched_records=self._fetched_records,
        )
        self.reassign()

    def reassign(self) -> None:
        """A rebalance gives the same partitions again, read from the committed offsets."""
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=object()))
        self.position = {tp: self.committed[tp] or 0 for tp in self.logs}

    async def _fetched_records(self, partitions: set[TP], timeout: float, max_records: int) -> dict[TP, Any]:
        found = {}
        for tp in [tp for tp in self.logs if not partitions or tp in partitions]:
            found[tp] = self.logs[tp][self.position[tp] : self.position[tp] + self.batch]
            self.position[tp] += len(found[tp])
        self.before_return()
        return found

    async def seek_to_committed(self) -> dict[TP, int | None]:
        if self.seek_fails:
            raise ConnectionError("the coordinator is away")
        for tp, offset in self.committed.items():
            if offset:
                self.position[tp] = offset
        return dict(self.committed)

    async def seek_to_beginning(self, *partitions: TP) -> bool:
        self.position |= dict.fromkeys(partitions, 0)
        return True

    def assignment(self) -> set[TP]:
        return set(self.logs)

    def highwater(self, tp: TP) -> int:
        return len(self.logs[tp])

    async def commit(self, offsets: dict[TP, Any]) -> None:
        self.committed |= {TP(*tp): at.offset for tp, at in offsets.items()}


def record(offset: int, topic: str = "interactions", value: bytes = b"v") -> ConsumerRecord:
    return ConsumerRecord(topic, 0, offset, 1000 + offset, 0, None, value, None, -1, len(value), ())


class Bench:
    """A Faust consumer over the list, and a stream with an agent that notes what it finished."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.app: Any = BatchApp("g", broker="kafka://127.0.0.1:1", store="memory://", fetch_wait_ms=40)
        self.channel = self.app.batch_topic("interactions", partitions=1)
        self.app.topics._acking_topics.update(tp.topic for tp in broker.logs)
        self.consumer: Any = self.app.transport.create_consumer(
            callback=_nothing, on_partitions_revoked=_nothing, on_partitions_assigned=_nothing
        )
        self.app._consumer = self.consumer
        self.app._producer = SimpleNamespace(flush=_nothing)
        self.app.consumer_generation_id = 1
        self.app.flow_control.resume()
        thread = self.consumer._thread
        thread._consumer = broker
        thread.call_thread = _call
        self.consumer._active_partitions = set(broker.logs)
        self.stream: Any = self.app.stream(self.channel)
        self.finished: list[int] = []
        self.body: Callable[[list[Any]], Coroutine[Any, Any, None]] = _nothing

    async def fetch(self) -> list[Any]:
        """One fetch; what came of it is in the stream."""
        messages = [message async for _, message in self.consumer.getmany(1.0)]
        for message in messages:
            message.incref()
            event = self.app.create_event(None, message.value, None, message)
            if message.topic == "interactions":
                self.stream.channel.queue.put_nowait(event)
        return [message.value for message in messages]

    async def rebalance(self, generation: int = 2, meanwhile: Callable[[], Any] | None = None) -> None:
        """The worker keeps its partition. Faust clears the queue, seeks, and goes on under a new generation."""
        self.consumer.stop_flow()
        await self.consumer.on_partitions_revoked(set(self.broker.logs))
        self.stream.channel.queue.clear()
        await (meanwhile or _nothing)()
        self.broker.reassign()
        self.app.consumer_generation_id = generation
        await self.consumer.on_partitions_assigned(set(self.broker.logs), generation)
        await self.consumer.perform_seek()
        self.consumer._active_partitions = set(self.broker.logs)
        self.consumer.resume_flow()

    async def work(self) -> None:
        async for records in record_batches(self.stream, max_batches=4, within_seconds=0.01):
            await self.body(records)
            self.finished += [r.offset for r in records]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.005)


async def _nothing(*_: Any, **__: Any) -> None:
    pass


async def _call(function: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
    return await function(*args, **kwargs)


@asynccontextmanager
async def bench(broker: Broker, *, agent: bool = True) -> AsyncIterator[Bench]:
    made = Bench(broker)
    worker = asyncio.create_task(made.work()) if agent else None
    yield made
    await made.stream.stop()
    if worker:
        worker.cancel()
        await asyncio.wait([worker])
    made.consumer._thread.thread_loop.close()


def spans(batches: list[Any]) -> list[tuple[str, int, int]]:
    return [(batch.topic, batch.first_offset, batch.offset) for batch in batches]


def test_a_fetch_makes_one_batch_a_partition_and_leaves_other_topics_alone() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=12, catalog=2), agent=False) as made:
            batch, *others = await made.fetch()
            assert spans([batch]) == [("interactions", 0, 9)]
            assert [r.offset for r in batch.records] == list(range(10))
            assert others == [b"v", b"v"]
            assert spans((await made.fetch())[:1]) == [("interactions", 10, 11)]

    asyncio.run(run())


def test_what_the_body_finished_is_committed() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=30)) as made:
            await made.fetch()
            await made.fetch()
            await made.until(lambda: len(made.finished) == 20)
            await made.until(lambda: all(batch.finished for batch in made.consumer._delivered[TOPIC]))
            assert await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 20
            assert not made.consumer._delivered[TOPIC]

    asyncio.run(run())


def test_a_log_that_begins_anew_is_committed_from_its_beginning() -> None:
    """The broker was wiped, or the topic made again: the consumer goes back to the first offset on its own."""

    async def run() -> None:
        async with bench(Broker(interactions=30)) as made:
            for _ in range(3):
                await made.fetch()
            await made.until(lambda: len(made.finished) == 30)
            await made.until(lambda: all(batch.finished for batch in made.consumer._delivered[TOPIC]))
            assert await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 30
            made.broker.position[TOPIC] = 0
            await made.fetch()
            await made.until(lambda: len(made.finished) == 40)
            await made.until(lambda: all(batch.finished for batch in made.consumer._delivered[TOPIC]))
            assert await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 10

    asyncio.run(run())


@pytest.mark.parametrize("stuck", [False, True])
def test_a_stop_waits_for_the_batch_in_hand_and_not_for_ever(stuck: bool) -> None:
    async def run() -> None:
        async with bench(Broker(interactions=30)) as made:
            begun, going = asyncio.Event(), asyncio.Event()

            async def wait(_: list[Any]) -> None:
                begun.set()
                await going.wait()

            made.body = wait
            await made.fetch()
            await begun.wait()
            await made.fetch()  # in the queue: nobody is at it
            if not stuck:
                asyncio.get_running_loop().call_later(0.1, going.set)
            await made.consumer.drain(0.3 if stuck else 20)
            assert made.finished[:10] == ([] if stuck else list(range(10)))
            await made.consumer.commit()
            assert made.broker.committed[TOPIC] in ([None] if stuck else [10, 20])

    asyncio.run(run())


def test_a_body_that_raises_commits_nothing() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=10), agent=False) as made:
            await made.fetch()

            async def broken(_: list[Any]) -> None:
                raise TypeError("a fault of ours")

            made.body = broken
            with pytest.raises(TypeError, match="a fault of ours"):
                await made.work()
            assert not await made.consumer.commit()
            assert made.broker.committed[TOPIC] is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("finished", "commit"),
    [
        ([], None),
        ([0], 10),
        ([0, 1], 20),
        ([1, 2], None),  # the first is still under way: nothing behind it may be committed
        ([0, 2], 10),
    ],
)
def test_offsets_are_committed_up_to_the_first_batch_under_way(finished: list[int], commit: int | None) -> None:
    async def run() -> None:
        async with bench(Broker(interactions=30), agent=False) as made:
            batches = [(await made.fetch())[0] for _ in range(3)]
            for number in finished:
                batches[number].finished = True
            assert made.consumer._new_offset(TOPIC) == commit

    asyncio.run(run())


@pytest.mark.parametrize("cython", [True, False])
def test_a_batch_skipped_for_its_old_generation_is_read_again(cython: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pure Python stream acknowledges what it skips: by offset numbers that would count for the second reading."""
    if not cython:
        monkeypatch.setattr(faust.streams, "_CStreamIterator", None)

    async def run() -> None:
        async with bench(Broker(interactions=10)) as made:
            held: list[RecordBatch] = []
            made.app.consumer_generation_id = 1
            made.consumer.callback = _nothing
            messages = [message async for _, message in made.consumer.getmany(1.0)]
            held = [message.value for message in messages]
            await made.rebalance()
            # The first reading was stuck in Faust's hands and comes into the stream only now.
            for message in messages:
                message.incref()
                made.stream.channel.queue.put_nowait(made.app.create_event(None, message.value, None, message))
            await asyncio.sleep(0.1)
            assert made.finished == []
            assert not any(batch.finished for batch in held)
            again = asyncio.Event()

            async def wait(_: list[Any]) -> None:
                await again.wait()

            made.body = wait
            assert spans(await made.fetch()) == [("interactions", 0, 9)]
            await asyncio.sleep(0.1)
            assert not await made.consumer.commit()  # a kill here must not lose the batch
            assert made.broker.committed[TOPIC] is None
            again.set()
            await made.until(lambda: made.finished == list(range(10)))
            await made.until(lambda: made.consumer._delivered[TOPIC][0].finished)
            assert await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 10

    asyncio.run(run())


def test_a_batch_finished_after_a_rebalance_does_not_acknowledge_its_second_reading() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=20)) as made:
            going = [asyncio.Event(), asyncio.Event()]
            begun: list[int] = []

            async def wait(records: list[Any]) -> None:
                begun.append(records[0].offset)
                await going[len(begun) - 1].wait()

            made.body = wait
            (first,) = await made.fetch()
            await made.until(lambda: begun == [0])
            await made.rebalance()
            made.broker.batch = 20  # the second reading ends elsewhere or, as here, takes in more
            (second,) = await made.fetch()
            going[0].set()
            await made.until(lambda: len(begun) == 2)
            assert first.finished
            assert not second.finished
            assert not await made.consumer.commit()
            assert made.broker.committed[TOPIC] is None
            going[1].set()
            await made.until(lambda: second.finished)
            assert await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 20

    asyncio.run(run())


def test_what_a_rebalance_took_away_is_not_worked_on() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=30)) as made:
            going, begun = asyncio.Event(), asyncio.Event()

            async def wait(_: list[Any]) -> None:
                begun.set()
                await going.wait()

            made.body = wait
            await made.fetch()
            await begun.wait()
            await made.fetch()  # into the buffer of Faust's take, behind the generation check
            await asyncio.sleep(0.05)

            async def go_on() -> None:
                going.set()
                await asyncio.sleep(0.1)

            await made.rebalance(meanwhile=go_on)
            await asyncio.sleep(0.05)
            assert made.finished == list(range(10))
            await made.fetch()
            await made.until(lambda: len(made.finished) == 20)
            assert made.finished == [*range(10), *range(10)]

    asyncio.run(run())


def test_a_fetch_thrown_away_in_a_rebalance_is_read_again_where_nothing_was_committed_yet() -> None:
    """Faust seeks to the committed offset, and without one it leaves the position where it is: behind the records."""

    async def run() -> None:
        async with bench(Broker(interactions=20), agent=False) as made:
            made.broker.before_return = made.consumer.stop_flow
            assert await made.fetch() == []
            made.broker.before_return = lambda: None
            made.consumer.resume_flow()
            assert spans(await made.fetch()) == [("interactions", 0, 9)]

    asyncio.run(run())


def test_a_batch_that_got_lost_on_the_way_stops_the_worker() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=40), agent=False) as made:
            await made.fetch()
            made.broker.before_return = made.consumer.stop_flow
            made.broker.seek_fails = True  # Faust logs that, and goes on
            assert await made.fetch() == []
            made.broker.before_return = lambda: None
            made.consumer.resume_flow()
            with pytest.raises(LostBatch, match=r"interactions/0: offset 19 was fetched before 20, .* delivered is 9"):
                await made.fetch()

    asyncio.run(run())


def test_a_partition_that_comes_back_goes_on_where_another_worker_stopped() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=40)) as made:
            await made.fetch()

            async def another_worker() -> None:
                made.broker.committed[TOPIC] = 30

            await made.rebalance(meanwhile=another_worker)
            assert spans(await made.fetch()) == [("interactions", 30, 39)]

    asyncio.run(run())


def test_gaps_in_a_compacted_log_are_no_loss() -> None:
    async def run() -> None:
        broker = Broker(interactions=30)
        del broker.logs[TOPIC][5:25]
        broker.batch = 4
        async with bench(broker) as made:
            await made.fetch()
            await made.fetch()
            await made.fetch()
            await made.until(lambda: made.finished == [0, 1, 2, 3, 4, *range(25, 30)])
            await made.until(lambda: all(batch.finished for batch in made.consumer._delivered[TOPIC]))
            await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 30

    asyncio.run(run())


def test_a_batch_read_again_replaces_what_it_covers() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=30), agent=False) as made:
            first, second = (await made.fetch())[0], (await made.fetch())[0]
            made.broker.position[TOPIC] = 5
            (again,) = await made.fetch()
            assert (first.stale, second.stale, again.stale) == (False, True, False)
            first.finished = True
            assert made.consumer._new_offset(TOPIC) == 10
            again.finished = True
            assert made.consumer._new_offset(TOPIC) == 15

    asyncio.run(run())


def test_faust_does_not_drop_what_it_reads_again() -> None:
    """Its loop leaves out every message whose offset is before the last one read."""

    async def run() -> None:
        async with bench(Broker(interactions=20), agent=False) as made:
            came: list[RecordBatch] = []

            async def callback(message: Any) -> None:
                came.append(message.value)
                if len(came) == 2:
                    made.broker.position[TOPIC], made.broker.batch = 0, 4

            made.consumer.callback = callback
            loop = asyncio.create_task(made.consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
            await made.until(lambda: len(came) == 7)
            loop.cancel()
            await asyncio.wait([loop])
            assert [(batch.first_offset, batch.offset) for batch in came] == [
                (0, 9),
                (10, 19),
                *((first, first + 3) for first in range(0, 20, 4)),
            ]
            assert not made.consumer._gap

    asyncio.run(run())


def test_a_refused_commit_does_not_hold_up_later_ones() -> None:
    async def run() -> None:
        async with bench(Broker(interactions=10)) as made:

            async def refused() -> None:
                made.consumer._committed_offset[TOPIC] = 10  # what Faust notes even where the broker refused it

            await made.rebalance(meanwhile=refused)
            await made.fetch()
            await made.until(lambda: bool(made.finished))
            await made.until(lambda: made.consumer._delivered[TOPIC][0].finished)
            await made.consumer.commit()
            assert made.broker.committed[TOPIC] == 10

    asyncio.run(run())


def test_a_topic_whose_agent_lags_is_not_read_and_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        broker = Broker(interactions=1000, catalog=1000)
        async with bench(broker, agent=False) as made:
            monkeypatch.setattr(module, "MAX_WAITING_BYTES", 25 * (module.RECORD_BYTES + 1))
            for _ in range(10):
                await made.fetch()
            assert broker.position == {TOPIC: 30, OTHER: 100}
            made.consumer._delivered[TOPIC][0].finished = True
            await made.fetch()
            assert broker.position[TOPIC] == 40
            made.consumer._active_partitions = {TOPIC}  # to aiokafka, an empty set would mean all
            assert await made.fetch() == []
            assert broker.position == {TOPIC: 40, OTHER: 110}

    asyncio.run(run())
