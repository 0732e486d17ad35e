"""Record batches lean on private names of Faust: these tests fail, with the name, when an upgrade changes them."""

import inspect
from collections import deque
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.record_batches import PRIVATE_NAMES, RecordBatch, _BatchConsumer, _BatchScheduler

TOPIC = TP("interactions", 0)


def record(offset: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp=1000 + offset, value=b"")


def test_the_versions_are_those_that_were_proved() -> None:
    assert (version("faust-streaming"), version("aiokafka")) == ("0.15.3", "0.14.0")


@pytest.mark.parametrize(("owner", "names"), PRIVATE_NAMES.items())
def test_every_private_name_is_still_there(owner: type, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not callable(getattr(owner, name, None))]
    assert not missing, f"{owner.__module__}.{owner.__qualname__} lost {missing}: see stream.record_batches"


def test_the_fetch_wait_and_the_ack_lists_are_still_there() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms" in source
    names = ("_acked", "_acked_index", "_read_offset")
    assert all(name in Consumer.__annotations__ for name in names)


def test_the_scheduler_makes_one_batch_a_partition_and_leaves_other_topics_alone() -> None:
    other = TP("other", 0)
    scheduler = _BatchScheduler({"interactions"})
    fetched = {TOPIC: [record(3), record(4)], TP("interactions", 1): [], other: [record(7), record(8)]}
    given = list(scheduler.iterate(fetched))
    batch = given[0][1]
    assert isinstance(batch, RecordBatch)
    assert (batch.first_offset, batch.offset, len(batch.value)) == (3, 4, 2)
    assert [(tp, message.offset) for tp, message in given[1:]] == [(other, 7), (other, 8)]


def consumer(delivered: list[int], acked: list[int]) -> SimpleNamespace:
    """As much of a consumer as the commit rule looks at."""
    return SimpleNamespace(
        app=SimpleNamespace(batched_topics={"interactions"}),
        _delivered={TOPIC: deque(delivered)},
        _acked={TOPIC: list(acked)},
        _acked_index={TOPIC: set(acked)},
    )


@pytest.mark.parametrize(
    ("delivered", "acked", "commit"),
    [
        ([9, 19, 29], [], None),
        ([9, 19, 29], [9], 10),
        ([9, 19, 29], [9, 19], 20),
        ([9, 19, 29], [19, 29], None),  # the first is still under way: nothing behind it may be committed
        ([9, 19, 29], [9, 29], 10),
    ],
)
def test_offsets_are_committed_up_to_the_first_batch_under_way(
    delivered: list[int], acked: list[int], commit: int | None
) -> None:
    fake = consumer(delivered, acked)
    assert _BatchConsumer._new_offset(fake, TOPIC) == commit
    assert fake._acked[TOPIC] == [offset for offset in acked if commit is None or offset >= commit]
