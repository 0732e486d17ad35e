"""Zstandard and zip: one file in them is read as if it were not packed."""

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream.sources.files.compressed import UnreadableFile, content_mark
from stream.sources.tabular import read

CSV = b"user,item,timestamp\nu,i,1400000000\nv,j,1400000001\n"
JSON = b'{"user": "u", "item": "i"}\n'


def zstandard(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_dot_", ".").replace("_in_", "/"), content)
    return packed.getvalue()


def items(path: Path, content: bytes) -> list[str]:
    path.write_bytes(content)
    found: list[str] = read(path).interactions["item_id"].tolist()
    return found


def test_one_packed_file_is_read(tmp_path: Path) -> None:
    assert items(tmp_path / "f.csv.zst", zstandard(CSV)) == ["i", "j"]
    assert items(tmp_path / "f.csv.zst", zstandard(CSV) + zstandard(b"w,k,1400000002\n")) == ["i", "j", "k"]
    assert items(tmp_path / "no suffix", zstandard(CSV)) == ["i", "j"]
    assert items(tmp_path / "f.jsonl.zst", zstandard(JSON)) == ["i"]
    assert items(tmp_path / "f.zip", zipped(f_dot_csv=CSV, __MACOSX_in_f_dot_csv=b"x")) == ["i", "j"]
    assert items(tmp_path / "f.zip", zipped(f_dot_jsonl=JSON)) == ["i"]
    assert content_mark(tmp_path / "f.zip") is not None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.zip", zipped(a_dot_csv=CSV, b_dot_csv=CSV), r"a zip archive of 2 files: .*\(a.csv, b.csv\)"),
        ("f.zip", zipped(), "an empty zip archive"),
        ("f.csv.gz", gzip.compress(gzip.compress(CSV)), "gzip in gzip: unpack it once"),
        ("f.zst", zstandard(gzip.compress(CSV)), "gzip in Zstandard"),
        ("f.gz", gzip.compress(zstandard(CSV)), "Zstandard in gzip"),
        ("f.gz", gzip.compress(zipped(a_dot_csv=CSV)), "a zip archive or a workbook in gzip"),
        ("f.zip", b"PK\x03\x04 cut off", "a zip archive that cannot be read"),
        ("f.csv.zst", zstandard(CSV * 100)[:20], "damaged"),
        ("f.parquet.gz", gzip.compress(b"PAR1"), "Parquet in a packed file"),
        ("f.csv", b"user,item\ru,i\r", "end with CR alone"),
    ],
    ids=lambda part: part if isinstance(part, str) else "content",  # packed bytes hold the time
)
def test_what_cannot_be_unpacked_is_told(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableFile, match=reason) as error:
        items(tmp_path / name, content)
    assert str(error.value).startswith(f"{tmp_path / name}: ")


def test_parquet_needs_no_suffix_and_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": ["u"], "item": ["i"]}), tmp_path / "part-0")
    assert read(tmp_path / "part-0").interactions["item_id"].tolist() == ["i"]
    pq.write_table(pa.Table.from_arrays([pa.array(["u"])] * 3, ["user", "item", "item"]), tmp_path / "twice.parquet")
    for name, content in (("twice.parquet", None), ("twice.csv", b"user,item,item\nu,i,j\n")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableFile, match="two columns of one name: item"):
            read(tmp_path / name)
