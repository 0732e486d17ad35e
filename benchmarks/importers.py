"""Importers: rows per second and peak memory of each import source, for reading alone.

Arrives: a source's name and its files, as for `sagestream import`. Leaves: one JSON object for each source.

    python -m benchmarks.importers amazon=ratings.csv movielens=u.data,u.item complete-journey

Each source is read in its own process, so its peak memory is only the memory of this path. It is read block by block
into events and items, which are not stored. `--times N` reads a file N times as long, to show whether memory grows with
the file size.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.meters import Span, own_mark
from sagestream.datasets import TABLE, TableWords, choose
from stream.events import CatalogItem

PART = "--part"


def measure(name: str, paths: Sequence[Path]) -> dict[str, Any]:
    """Read all files of a source, in the child process."""
    from stream.sources.source import Reading

    source = choose(name, paths, words=TableWords(no_times=True) if name == TABLE else None).open()
    reading = Reading()
    before = _peak_mb()
    first, items, events = own_mark(0), 0, 0
    for event in source.events(reading):
        if isinstance(event, CatalogItem):
            items += 1
        else:
            events += 1
    rejected = reading.rejections.counts.total()
    span = Span.between(first, own_mark(events + items + rejected))
    return {
        "source": name,
        "forms": [part.form for part in source.parts],
        "events": events,
        "items": items,
        "rejected": dict(reading.rejections.counts),
        "rows_a_second": round(span.events_per_second),
        "rows_a_cpu_second": round(span.events_per_cpu_second),
        "peak_mb": round(_peak_mb(), 1),
        "of_which_before_mb": round(before, 1),
    }


def _peak_mb() -> float:
    """Return the peak resident size of this process, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def write_repeated(path: Path, times: int, folder: Path) -> Path:
    """Write a text file that repeats the content `times` times. A header line comes only once."""
    target = folder / path.name
    content = path.read_bytes()
    header, _, rows = content.partition(b"\n")
    if any(character.isdigit() for character in header.decode("utf-8", errors="replace")):
        header, rows = b"", content
    with target.open("wb") as file:
        file.write(header + b"\n" if header else b"")
        for _ in range(times):
            file.write(rows)
    return target


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importers", description=__doc__.partition("\n")[0])
    parser.add_argument("sources", nargs="+", help="NAME=FILE,FILE")
    parser.add_argument("--times", type=int, default=1, help="read text files that are so many times as long")
    parser.add_argument(PART, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    for word in given.sources:
        name, _, files = word.partition("=")
        paths = [Path(file) for file in files.split(",") if file]
        if given.part:
            print(json.dumps(measure(name, paths)))
            continue
        with tempfile.TemporaryDirectory() as folder:
            if given.times > 1:
                paths = [write_repeated(path, given.times, Path(folder)) for path in paths]
            words = [f"{name}={','.join(map(str, paths))}" if paths else name]
            subprocess.run([sys.executable, "-m", "benchmarks.importers", *words, PART], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
