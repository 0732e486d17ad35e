"""Stages: show the progress of a long job, with one line for each stage and a progress bar on a terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from sagestream.printable import PlainConsole

Report = Callable[[str, float], None]
"""Called with a description of the current work and the finished share (0..1)."""


@dataclass
class Stages:
    """Measures the time of each stage of a job and prints it."""

    console: PlainConsole
    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """The time since the start of the job, in seconds."""
        return time.monotonic() - self.begun

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Print one line, with the time since the start. A part is plain text, or a pair of text and style."""
        self.console.print(Text.assemble((f"{self.elapsed:7.1f}s", "dim"), "  ", *parts))

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[Report]:
        """Run a stage: show a bar on a terminal, print one line at the end, and add its seconds under `name`."""
        begun = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
        bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        with bar:
            task = bar.add_task(what, total=1.0)

            def report(doing: str, share: float) -> None:
                bar.update(task, description=f"{what}: {doing}", completed=share)

            yield report
        took = time.monotonic() - begun
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)
        self.say(("✓", "green"), f" {what} ", (f"({took:.1f} s)", "dim"))
