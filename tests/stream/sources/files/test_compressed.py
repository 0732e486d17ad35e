"""Bytes of files: bounded lines, damage told after the last good line, marks that follow the content."""

import bz2
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.sources.files import compressed
from stream.sources.files.compressed import (
    UnreadableFile,
    changed_at,
    content_mark,
    format_suffix,
    listed,
    named,
    opened,
)


def lines(path: Path) -> tuple[list[bytes], list[int], str]:
    """The lines, the numbers of the refused ones, and why it could not be read on."""
    found: list[bytes] = []
    refused: list[int] = []
    with opened(path) as file:
        try:
            for _, line in file.lines(lambda _reason, number, _line: refused.append(number)):
                found.append(line)
        except UnreadableFile as error:
            return found, refused, str(error)
        assert file.share == 1.0
        return found, refused, ""


@pytest.mark.parametrize(
    ("name", "pack"), [("f", bytes), ("f", gzip.compress), ("f.bz2", bz2.compress), ("f.xz", lzma.compress)]
)
def test_lines_of_a_file_that_is_packed_or_not(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(pack(b"a\nb\r\n\nc"))
    assert lines(path) == ([b"a\n", b"b\r\n", b"\n", b"c"], [], "")


@pytest.mark.parametrize("lost", [1, 9, 3000])
def test_every_whole_line_before_a_cut_is_given(tmp_path: Path, lost: int) -> None:
    content = [b"%d-%d\n" % (number, number * 7919 % 10007) for number in range(20_000)]
    whole = gzip.compress(b"".join(content))
    path = tmp_path / "f.gz"
    path.write_bytes(whole[:-lost])
    found, _, told = lines(path)
    there = zlib.decompressobj(31).decompress(whole[:-lost])
    assert b"".join(found) == there[: there.rindex(b"\n") + 1]
    assert told.startswith(f"damaged after line {len(found)}: ")


def test_a_line_over_the_bound_is_refused_and_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressed, "MAX_LINE_BYTES", 10)
    path = tmp_path / "f"
    path.write_bytes(b"123456789\n" + b"x" * 35 + b"\nend\n" + b"y" * 10)
    assert lines(path) == ([b"123456789\n", b"end\n"], [2, 4], "")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PK\x03\x04", "zip archive that cannot be read"),
        (b"\xff\xfea\0", "UTF-16"),
        (b"\xfe\xff\0a", "UTF-16"),
        (b"\xd0\xcf\x11\xe0", "xls"),
        (b"\x28\xb5\x2f\xfd", "damaged from its beginning"),
        (gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), "gzip in gzip"),
    ],
)
def test_foreign_files_are_told_by_what_they_are(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match=reason), opened(path):
        pass


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no file"), opened(tmp_path / "nowhere"):
        pass
    with pytest.raises(UnreadableFile, match="no regular file"), opened(tmp_path):
        pass


def test_a_path_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "f"
    with pytest.raises(UnreadableFile) as error, named(path), named(path):
        raise UnreadableFile("why")
    assert str(error.value) == f"{path}: why"


def test_the_mark_follows_the_content_and_stops_when_asked(tmp_path: Path) -> None:
    one, same, other = (tmp_path / name for name in "abc")
    for path, content in ((one, b"x"), (same, b"x"), (other, b"y")):
        path.write_bytes(content)
    assert content_mark(one) == content_mark(same) == "2d711642b726"  # the first digits of its SHA-256
    assert content_mark(other) != content_mark(one)
    assert content_mark(one, stop=lambda: True) is None


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.csv.gz", ".csv"), ("a.JSONL", ".jsonl"), ("a.gz", ""), ("a.b.parquet", ".parquet")]
)
def test_the_suffix_of_the_format(name: str, suffix: str) -> None:
    assert format_suffix(Path(name)) == suffix


def test_long_lists_are_cut() -> None:
    assert listed("ab") == "a, b"
    assert listed(["a"] * 25).endswith("and 5 more")


def test_files_together_count_from_the_newest_and_from_no_time_to_come(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b", tmp_path / "nowhere"]
    for path, written in zip(paths[:2], (1_700_000_100, 1_700_000_000), strict=True):
        path.touch()
        os.utime(path, (written, written))
    assert changed_at(*paths) == datetime.fromtimestamp(1_700_000_100, UTC)
    os.utime(paths[0], (9_999_999_999, 9_999_999_999))
    assert changed_at(*paths) <= datetime.now(UTC)
