"""Each codec of Kafka is read, and what cannot be unpacked becomes one record, with nothing lost beside it."""

import struct
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from stream.kafka import unreadable_batches
from stream.kafka.unreadable_batches import ReadableRecords, UnreadableBatch

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
RECORDS = 20
MAGIC, ATTRIBUTES, BODY = 16, 22, 61


def batch(first: int, codec: str = "none") -> bytes:
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, -1, -1, 1_000_000)
    for delta in range(RECORDS):
        builder.append(delta, timestamp=1_000 + delta, key=b"k", value=b"%d" % (first + delta) * 50, headers=[])
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, first)
    return bytes(raw)


def damaged(raw: bytes, at: int, by: bytes, *, summed: bool = True) -> bytes:
    """Bytes replaced; with `summed` the checksum is right, as when the producer itself wrote that."""
    made = bytearray(raw)
    made[at : at + len(by)] = by
    if summed:
        struct.pack_into(">I", made, 17, calc_crc32c(bytes(made[21:])))
    return bytes(made)


def read(raw: bytes, fetch_offset: int = 0) -> tuple[list[Any], int]:
    """What aiokafka's consumer gives for a fetched partition, and the offset that it fetches next."""
    records = fetcher.PartitionRecords(
        TopicPartition("interactions", 3), ReadableRecords(raw), None, fetch_offset, None, None, False, 0
    )
    return list(records), records.next_fetch_offset


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_is_read(codec: str) -> None:
    records, following = read(batch(0, codec) + batch(RECORDS, codec))
    assert [record.offset for record in records] == list(range(2 * RECORDS))
    assert [record.value for record in records] == [b"%d" % offset * 50 for offset in range(2 * RECORDS)]
    assert following == 2 * RECORDS


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        *[(damaged(batch(20, codec), BODY + 8, b"\xff\x00\xff\x00"), "") for codec in CODECS],
        *[(damaged(batch(20, codec), BODY + 8, b"\xff", summed=False), "checksum") for codec in CODECS],
        (damaged(batch(20), ATTRIBUTES, b"\x07"), "codec"),
        (damaged(batch(20), MAGIC, b"\x03"), "version 3"),
        (damaged(batch(20), MAGIC, b"\x01"), ""),
    ],
)
def test_an_unreadable_batch_is_one_record_and_its_neighbours_are_all_there(raw: bytes, reason: str) -> None:
    records, following = read(batch(0) + raw + batch(40))
    values = [record.value for record in records]
    (bad,) = (record for record in records if isinstance(record.value, UnreadableBatch))
    assert len(values) == 2 * RECORDS + 1
    assert values[:20] + values[21:] == [b"%d" % offset * 50 for offset in [*range(20), *range(40, 60)]]
    assert (bad.value, bad.value.first_offset) == (raw, 20)
    assert reason in bad.value.reason
    assert bad.offset == bad.value.last_offset == (39 if raw[MAGIC] >= 2 else 20)
    assert following == 60


def test_old_versions_and_a_cut_batch_are_read_as_before() -> None:
    old = LegacyRecordBatchBuilder(magic=1, compression_type=1, batch_size=10_000)
    for offset in range(3):
        old.append(offset, timestamp=1, key=b"k", value=b"v")
    wrapped = bytearray(old.build())
    struct.pack_into(">q", wrapped, 0, 2)  # as a broker does: the offset of the last record
    records, following = read(bytes(wrapped) + batch(3)[:-1])
    assert [record.offset for record in records] == [0, 1, 2]
    assert following == 3


def test_a_length_that_is_no_length_ends_the_fetch_and_not_the_consumer() -> None:
    records, following = read(batch(0) + struct.pack(">qi", 20, -5) + b"rest of the fetch")
    assert len(records) == RECORDS + 1
    assert isinstance(records[-1].value, UnreadableBatch)
    assert following == 21


def test_consumers_of_the_process_read_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hasattr(fetcher, "MemoryRecords"), "aiokafka's consumer unpacks elsewhere now"
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    unreadable_batches.install()
    assert fetcher.MemoryRecords is ReadableRecords  # type: ignore[comparison-overlap]
