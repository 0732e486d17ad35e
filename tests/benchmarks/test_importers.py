"""The benchmark of the importers: what it counts, and files made longer with one header."""

from pathlib import Path

from benchmarks.importers import measure, write_repeated


def test_every_row_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("user,item\nu,i\n,i\nv,i\n")
    found = measure("table", [path])
    assert (found["events"], found["items"], found["rejected"]) == (2, 0, {"no user": 1})
    assert found["peak_mb"] >= found["of_which_before_mb"] > 0


def test_a_longer_file_has_its_header_once(tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    for name, content, expected in (
        ("a.csv", "user,item\nu,1\n", "user,item\nu,1\nu,1\n"),
        ("u.data", "1\t2\t3\t881250949\n", "1\t2\t3\t881250949\n" * 2),
    ):
        (tmp_path / name).write_text(content)
        assert write_repeated(tmp_path / name, 2, tmp_path / "long").read_text() == expected
