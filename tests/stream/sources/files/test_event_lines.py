"""Lines of files: whole, compressed, damaged, endless."""

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream import events
from stream.sources.files.event_lines import UnreadableLines, interactions, open_lines

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = b'{"event_id":"%d","event_type":"view","user_id":"u","item_id":"i","event_time":"2026-01-01T00:00:00Z"}'


def read(path: Path) -> tuple[list[str], list[int]]:
    """The ids of the events and the numbers of the refused lines."""
    refused: list[int] = []
    with open_lines(str(path)) as lines:
        found = interactions(lines, now=lambda: NOW, refuse=lambda number, _: refused.append(number))
        return [event.event_id for event in found], refused


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n"])
def test_events_and_refusals_by_number(pack: "type[bytes]", end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(pack(end.join([GOOD % 1, b"x", GOOD % 2])))
    step = end.count(b"\n")
    assert read(path) == (["1", "2"], [1 + step])


def test_a_line_may_name_its_order(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(GOOD[:-1].replace(b"%d", b"1") + b',"order_id":"1007","currency":"EUR"}')
    with open_lines(str(path)) as lines:
        (event,) = interactions(lines, now=lambda: NOW, refuse=lambda number, error: pytest.fail(str(error)))
    assert (event.order_id, event.currency) == ("1007", "EUR")


def test_a_line_of_the_largest_size_is_an_event_and_one_byte_more_is_none(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    room = events.MAX_EVENT_BYTES - len(GOOD % 1)
    for end in (b"\n", b"\r\n"):
        path.write_bytes(GOOD % 1 + b" " * room + end + GOOD % 2 + b" " * (room + 1) + end + GOOD % 3)
        assert read(path) == (["1", "3"], [2])


def test_an_endless_line_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"x" * (5 * events.MAX_EVENT_BYTES) + b"\n" + GOOD % 1)
    with open_lines(str(path)) as lines:
        assert [len(line) for line in lines] == [events.MAX_EVENT_BYTES + 2, len(GOOD % 1)]
    assert read(path) == (["1"], [1])


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: raw[:200] + b"\0\0\0\0" + raw[204:]])
def test_damaged_files_are_told(damage: "type[bytes]", tmp_path: Path) -> None:
    path = tmp_path / "lines.gz"
    path.write_bytes(damage(gzip.compress(b"\n".join(GOOD % number for number in range(5000)))))
    with pytest.raises(UnreadableLines, match="damaged after line"):
        read(path)


def test_the_share_that_is_read_grows_to_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(GOOD % number for number in range(5000)))
    with open_lines(str(path)) as lines:
        shares = [lines.share for _ in lines]
        assert 0 < shares[0] < 0.5
        assert lines.share == 1.0
        assert shares == sorted(shares)
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    with open_lines(str(empty)) as lines:
        assert (list(lines), lines.share) == ([], 0.0)
