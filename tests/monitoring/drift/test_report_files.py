"""Report files: whole or not there, named by their window, and not more than are kept."""

import os
from pathlib import Path

import pytest

from monitoring.drift.report_files import write_report
from monitoring.windows import TimeWindow

DAY_MS = 86_400_000


class Snapshot:
    """What Evidently's has of interest here."""

    def __init__(self, text: str = "report") -> None:
        self.text = text

    def save_html(self, filename: str) -> None:
        Path(filename).write_text(f"<html>{self.text}</html>")

    def save_json(self, filename: str) -> None:
        Path(filename).write_text(f'"{self.text}"')


class Broken(Snapshot):
    def save_html(self, filename: str) -> None:
        Path(filename).write_text("<html>")
        raise OSError("no space left")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_both_files_are_named_by_the_window(tmp_path):
    html, json_file = write_report(Snapshot(), tmp_path / "reports", TimeWindow(0, DAY_MS), kept=3)
    assert html.name == "drift-19700101T000000Z-19700102T000000Z.html"
    assert (html.read_text(), json_file.read_text()) == ("<html>report</html>", '"report"')
    assert names(tmp_path / "reports") == sorted([html.name, json_file.name])


def test_the_same_window_is_replaced(tmp_path):
    write_report(Snapshot("old"), tmp_path, TimeWindow(0, DAY_MS), kept=3)
    html, _ = write_report(Snapshot("new"), tmp_path, TimeWindow(0, DAY_MS), kept=3)
    assert html.read_text() == "<html>new</html>"
    assert len(names(tmp_path)) == 2


def test_the_parts_of_a_window_come_and_go_together(tmp_path):
    for day in range(3):
        window = TimeWindow(day * DAY_MS, (day + 1) * DAY_MS)
        for part in ("", "training", "ranking"):
            for path in write_report(Snapshot(part), tmp_path, window, part=part, kept=2):
                os.utime(path, ns=(day * 10**12, day * 10**12))
    kept = names(tmp_path)
    assert len(kept) == 2 * 3 * 2
    assert not [name for name in kept if name.startswith("drift-19700101")]
    assert "drift-19700102T000000Z-19700103T000000Z-ranking.html" in kept


def test_a_report_that_fails_leaves_the_old_one_and_no_half(tmp_path):
    html, _ = write_report(Snapshot("old"), tmp_path, TimeWindow(0, DAY_MS), kept=3)
    with pytest.raises(OSError, match="no space"):
        write_report(Broken("new"), tmp_path, TimeWindow(0, DAY_MS), kept=3)
    assert html.read_text() == "<html>old</html>"
    assert len(names(tmp_path)) == 2


def test_the_newest_are_kept_and_other_files_stay(tmp_path):
    (tmp_path / "notes.html").write_text("mine")
    for day in range(5):
        for path in write_report(Snapshot(), tmp_path, TimeWindow(day * DAY_MS, (day + 1) * DAY_MS), kept=2):
            os.utime(path, ns=(day * 10**12, day * 10**12))
    kept = [name for name in names(tmp_path) if name.startswith("drift-")]
    assert {name.split("-")[1] for name in kept} == {"19700104T000000Z", "19700105T000000Z"}
    assert len(kept) == 4
    assert (tmp_path / "notes.html").exists()


def test_what_a_killed_process_left_is_removed_later(tmp_path):
    left, fresh = tmp_path / ".drift-x.html.1", tmp_path / ".drift-y.html.2"
    for path in (left, fresh):
        path.write_text("<html>")
    os.utime(left, ns=(0, 0))
    write_report(Snapshot(), tmp_path, TimeWindow(0, DAY_MS), kept=2)
    assert not left.exists()
    assert fresh.exists()
