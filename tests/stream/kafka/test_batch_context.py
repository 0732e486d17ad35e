"""Log lines and spans of a batch say which records it holds."""

from typing import NamedTuple

from graphstore.log_context import log_fields
from stream.kafka.batch_context import working_on


class Record(NamedTuple):
    partition: int
    offset: int
    headers: tuple[()] = ()


def test_a_line_names_the_topic_and_the_first_and_last_offset_of_each_partition() -> None:
    records = [Record(0, 7), Record(2, 1), Record(0, 9), Record(0, 8)]
    with working_on("store", "seen", records):
        assert log_fields() == {"topic": "seen", "offsets": {0: [7, 9], 2: [1, 1]}}
    assert log_fields() == {}


def test_no_records_are_no_batch() -> None:
    with working_on("refresh", "seen", []):
        assert log_fields() == {}
