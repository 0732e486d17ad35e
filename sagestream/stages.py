"""What a long job tells while it runs: one clear line a stage, with progress bars where a terminal can show them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Report = Callable[[str, float], None]
"""Called with what is being done and the share (0..1) of it that is done."""


@dataclass
class Stages:
    """Times the stages of a job and prints them."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.begun

    def say(self, line: str) -> None:
        """One line, with the time since the start."""
        self.console.print(f"[dim]{self.elapsed:7.1f}s[/dim]  {line}", highlight=False)

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[Report]:
        """A stage: a bar while it runs (on a terminal), one line when it is done, its seconds kept under `name`."""
        begun = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        with bar:
            task = bar.add_task(what, total=1.0)

            def report(doing: str, share: float) -> None:
                bar.update(task, description=f"{what}: {doing}", completed=share)

            yield report
        took = time.monotonic() - begun
        self.seconds[name] = round(self.seconds.get(name, 0.0) + took, 3)
        self.say(f"[green]✓[/green] {what} [dim]({took:.1f} s)[/dim]")
