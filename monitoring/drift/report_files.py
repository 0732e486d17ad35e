"""Report files: Evidently's HTML, which opens without a network, and its JSON, as files.

Arrives: Evidently's snapshots. Leaves: `reports/drift-<start>-<end>.html` and `.json` in the state directory, named
after the current window; `…-training` compares with the champion's training, `…-ranking` tells of the served lists.
Next: a browser shows them; the dashboard links to them."""

from pathlib import Path
from typing import Protocol

from graphstore.files import written_whole
from monitoring.windows import TimeWindow
from stream.events import utc

SUFFIXES = (".html", ".json")
STEM = len("drift-20260101T000000Z-20260102T000000Z")
STALE_NS = 3_600 * 10**9
REPORTS_KEPT = 24
"""The number of reports that stay in the directory: a day of hourly reports."""


class Saveable(Protocol):
    """The necessary methods of Evidently's snapshot."""

    def save_html(self, filename: str) -> None:
        """Write a page that needs no other file."""

    def save_json(self, filename: str) -> None:
        """Write the figures."""


def write_report(
    snapshot: Saveable, directory: Path, window: TimeWindow, *, part: str = "", kept: int = REPORTS_KEPT
) -> tuple[Path, Path]:
    """Write each file atomically, and remove all reports but the newest `kept`; return the paths (HTML, JSON).

    A report of the same window and part is replaced. The parts of a window count as one report.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = f"drift-{utc(window.start):%Y%m%dT%H%M%SZ}-{utc(window.end):%Y%m%dT%H%M%SZ}" + (part and f"-{part}")
    html, json_file = (directory / f"{name}{suffix}" for suffix in SUFFIXES)
    for path, save in ((json_file, snapshot.save_json), (html, snapshot.save_html)):
        with written_whole(path) as temporary:
            save(str(temporary))
    _remove_old(directory, kept)
    return html, json_file


def _remove_old(directory: Path, kept: int) -> None:
    """Sort by file time, not by window, because a new report can have an old window (replayed history)."""
    written: dict[str, list[Path]] = {}
    for path in directory.glob("drift-*"):
        if path.suffix in SUFFIXES:
            written.setdefault(path.stem[:STEM], []).append(path)
    times = {stem: max(path.stat().st_mtime_ns for path in paths) for stem, paths in written.items()}
    for stem in sorted(written, key=lambda stem: (times[stem], stem), reverse=True)[kept:]:
        for path in written[stem]:
            path.unlink(missing_ok=True)
    newest = max(times.values(), default=0)
    for partial in directory.glob(".drift-*"):  # from a killed process
        if partial.stat().st_mtime_ns < newest - STALE_NS:
            partial.unlink(missing_ok=True)
