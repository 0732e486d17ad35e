"""Unreadable batches: what a fetch cannot unpack becomes one record with the reason, and the partition goes on.

Arrives: the bytes of one partition in the answer to a fetch. Leaves: aiokafka's batches; in place of a batch that
cannot be unpacked (damaged bytes, a wrong checksum, an unknown codec or version), a batch with one record, whose value
is an `UnreadableBatch`. Next: `stream.kafka.record_batches`; `stream.dlq.dead_letters` makes a dead letter of it.

aiokafka raises instead. Then the batches before it in the same fetch are lost to the consumer, the worker ends, and it
would meet the same batch after every restart. The codecs of Kafka (gzip, snappy, lz4 and zstd) come with the extra
`stream`; without their library this module cannot be imported, so that no good message is taken for an unreadable one.
"""

import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cramjam  # noqa: F401 - aiokafka unpacks snappy, lz4 and zstd with it, and says nothing when it is missing
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

_START = struct.Struct(">qi")
"""Base offset and length: the first fields of a batch of each version."""
_MAGIC_INDEX = 16
_V2_LAYOUT = struct.Struct(">qiibIhiqq")
"""The fields of a batch of version 2, up to its last timestamp."""
_SMALLEST_BYTES = 26
"""A batch of the oldest version without a key and a value."""
NEWEST_MAGIC = 2


class UnreadableBatch(bytes):
    """The bytes of a batch that cannot be unpacked. `first_offset` and `last_offset` are its bounds."""

    reason: str
    first_offset: int
    last_offset: int


class ReadableRecords:
    """The batches of one partition in a fetch, in the form of aiokafka's `MemoryRecords`, which it replaces."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return the size of all batches; the last one may be cut."""
        return len(self._raw)

    def has_next(self) -> bool:
        """Return whether one more whole batch is there."""
        return self._at + _START.size <= len(self._raw) and self._end() <= len(self._raw)

    def next_batch(self) -> Any:
        """Return the next batch, unpacked, or a batch with one record whose value is an `UnreadableBatch`."""
        raw, self._at = self._raw[self._at : self._end()], self._end()
        try:
            return _unpacked(raw)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - each codec raises errors of its own
            return _unreadable(raw, f"{type(error).__name__}: {error}")

    def _end(self) -> int:
        _, length = _START.unpack_from(self._raw, self._at)
        # A negative length is damage, too: the rest of the fetch is then one unreadable batch.
        return self._at + _START.size + length if length >= 0 else len(self._raw)


def install() -> None:
    """Let aiokafka's consumers of this process read with `ReadableRecords`."""
    fetcher.MemoryRecords = ReadableRecords


class _Unpacked:
    """A batch with its records, which gives every other attribute of aiokafka's batch."""

    def __init__(self, batch: Any, records: list[Any]) -> None:
        self._batch = batch
        self._records = records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records)


def _unpacked(raw: bytes) -> Any:
    if len(raw) < _SMALLEST_BYTES:
        raise ValueError(f"{len(raw)} bytes are no batch")
    magic = raw[_MAGIC_INDEX]
    if magic > NEWEST_MAGIC:
        raise ValueError(f"record batches of version {magic} are unknown")
    batch: Any = DefaultRecordBatch(raw) if magic == NEWEST_MAGIC else LegacyRecordBatch(raw, magic)
    if not batch.validate_crc():
        raise ValueError("its checksum is wrong")
    return batch if batch.is_control_batch else _Unpacked(batch, list(batch))


def _unreadable(raw: bytes, reason: str) -> Any:
    first, _ = _START.unpack_from(raw)
    last, time = first, -1
    if len(raw) >= _V2_LAYOUT.size and raw[_MAGIC_INDEX] >= NEWEST_MAGIC:
        *_, delta, _, time = _V2_LAYOUT.unpack_from(raw)
        last = first + max(delta, 0)
    value = UnreadableBatch(raw)
    value.reason, value.first_offset, value.last_offset = reason, first, last
    record = SimpleNamespace(
        offset=last, timestamp=time, timestamp_type=0, key=None, value=value, checksum=None, headers=()
    )
    batch = SimpleNamespace(
        base_offset=first,
        next_offset=last + 1,
        is_control_batch=False,
        is_transactional=False,
        producer_id=None,
        validate_crc=lambda: True,
    )
    return _Unpacked(batch, [record])
