"""Ranker load: what several ranker processes do under clients that ask without pause.

`python -m benchmarks.ranker_load` prints a table.

Arrives: numbers of processes. Leaves: rankings a second, milliseconds, CPU time of one ranking and memory, by number of
processes. Next: the table in docs/benchmarks.md.

The clients are threads of this process and share the cores with the rankers, so rankings a second grow less than they
do where a shop's web servers run elsewhere. The CPU time of one ranking shows what a further process costs. The
numbers of processes take turns, so that what else the machine does meets all of them.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from benchmarks.meters import cpu_seconds, proportional_mb
from benchmarks.ranker import ASK_MS, SEED, Maker, makers, running_ranker
from serving.online.client import RankerClient

CLIENTS_A_PROCESS = 3
SECONDS, WARM_UP_SECONDS, QUIET_SECONDS = 10.0, 2.0, 1.0
TURNS = 3
ITEMS = 5_000


@dataclass(frozen=True)
class Turn:
    """One number of processes under load."""

    milliseconds: np.ndarray
    """Of each ranking."""
    seconds: float
    cpu_seconds: float
    """Of all ranker processes."""
    memory_mb: float
    """Of all of them; pages that they share count once."""

    @property
    def rankings_per_second(self) -> float:
        """All clients together."""
        return len(self.milliseconds) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of one ranking."""
        return self.cpu_seconds / len(self.milliseconds) * 1e3


def measure(num_items: int, processes: int, *, clients: int, seconds: float, warm_up_seconds: float) -> Turn:
    """Ask so many ranker processes without pause, each by so many clients."""
    with running_ranker(num_items, processes=processes) as (url, pid):
        wait_until_quiet(pid)  # when one process answers, the others still load the model
        ask(url, num_items, clients=clients * processes, seconds=warm_up_seconds)
        cpu, began = cpu_seconds(pid, family=True), time.perf_counter()
        taken = ask(url, num_items, clients=clients * processes, seconds=seconds)
        return Turn(taken, time.perf_counter() - began, cpu_seconds(pid, family=True) - cpu, proportional_mb(pid))


def ask(url: str, num_items: int, *, clients: int, seconds: float) -> np.ndarray:
    """Return the milliseconds of all rankings that so many clients got. Raises `RuntimeError` for an empty list."""
    until = time.perf_counter() + seconds

    def run(rng: np.random.Generator) -> list[float]:
        taken: list[float] = []
        kinds: list[Maker] = [*makers(num_items).values()]
        with closing(RankerClient(url, timeout_ms=ASK_MS)) as client:
            while (began := time.perf_counter()) < until:
                if not client.rank(kinds[len(taken) % len(kinds)](rng)).item_keys:
                    raise RuntimeError("nothing was ranked")
                taken.append((time.perf_counter() - began) * 1e3)
        return taken

    with ThreadPoolExecutor(clients) as pool:
        return np.concatenate([np.array(taken) for taken in pool.map(run, np.random.default_rng(SEED).spawn(clients))])


def wait_until_quiet(pid: int) -> None:
    """Wait until a process and its children take less than a fifth of a core for a second."""
    before = float("-inf")
    while (now := cpu_seconds(pid, family=True)) - before > QUIET_SECONDS / 5:
        before = now
        time.sleep(QUIET_SECONDS)


def main() -> None:
    """Print the table: each figure is the median of the turns."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranker_load", description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clients", type=int, default=CLIENTS_A_PROCESS, help="of each process")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--turns", type=int, default=TURNS)
    options = parser.parse_args()
    turns: dict[int, list[Turn]] = {processes: [] for processes in options.processes}
    for _ in range(options.turns):
        for processes, found in turns.items():
            found.append(
                measure(
                    options.items,
                    processes,
                    clients=options.clients,
                    seconds=options.seconds,
                    warm_up_seconds=WARM_UP_SECONDS,
                )
            )
    print("| processes | clients | rankings a second | p50 ms | p99 ms | CPU ms of one | memory MB |")
    print("|---" * 7 + "|")
    for processes, found in turns.items():
        figures = [
            (turn.rankings_per_second, *np.percentile(turn.milliseconds, (50, 99)), turn.cpu_ms, turn.memory_mb)
            for turn in found
        ]
        rate, p50, p99, cpu_ms, memory = np.median(figures, axis=0)
        print(
            f"| {processes} | {processes * options.clients} | {rate:,.0f} | {p50:.1f} | {p99:.1f} "
            f"| {cpu_ms:.2f} | {memory:,.0f} |"
        )


if __name__ == "__main__":
    main()
