"""Drift reports as files: Evidently's HTML, which opens without a network, and its JSON.

Arrives: Evidently's snapshot of a drift test. Leaves: `reports/drift-<start>-<end>.html` and `.json` in the state
directory, named by the current window. Next: a reader's browser; the dashboard links to the newest.
"""

from pathlib import Path
from typing import Protocol

from graphstore.files import written_whole
from monitoring.windows import TimeWindow
from stream.events import utc

SUFFIXES = (".html", ".json")
STALE_NS = 3_600 * 10**9
REPORTS_KEPT = 24
"""Reports that stay in the directory: a day of them, at one an hour."""


class Saveable(Protocol):
    """What is asked of Evidently's snapshot."""

    def save_html(self, filename: str) -> None:
        """Write a page that needs nothing else."""

    def save_json(self, filename: str) -> None:
        """Write the figures."""


def write_report(
    snapshot: Saveable, directory: Path, window: TimeWindow, *, kept: int = REPORTS_KEPT
) -> tuple[Path, Path]:
    """Write both files, whole or not at all, and remove all but the newest `kept`; the paths of (HTML, JSON).

    The same window's report is replaced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    name = f"drift-{utc(window.start):%Y%m%dT%H%M%SZ}-{utc(window.end):%Y%m%dT%H%M%SZ}"
    html, json_file = (directory / f"{name}{suffix}" for suffix in SUFFIXES)
    for path, save in ((json_file, snapshot.save_json), (html, snapshot.save_html)):
        with written_whole(path) as temporary:
            save(str(temporary))
    _remove_old(directory, kept)
    return html, json_file


def _remove_old(directory: Path, kept: int) -> None:
    """By time of writing, not by window: a report on replayed history is the newest all the same."""
    written: dict[str, int] = {}
    for path in directory.glob("drift-*"):
        if path.suffix in SUFFIXES:
            written[path.stem] = max(written.get(path.stem, 0), path.stat().st_mtime_ns)
    for stem in sorted(written, key=lambda stem: (written[stem], stem), reverse=True)[kept:]:
        for suffix in SUFFIXES:
            (directory / f"{stem}{suffix}").unlink(missing_ok=True)
    newest = max(written.values(), default=0)
    for partial in directory.glob(".drift-*"):  # left by a process that was killed
        if partial.stat().st_mtime_ns < newest - STALE_NS:
            partial.unlink(missing_ok=True)
