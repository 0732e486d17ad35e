"""Ray options: how verbs let a user name a Ray, open it, and tell what its workers have done."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphstore.addresses import check_ray_address
from sagestream.extras import require
from sagestream.printable import BadParameter
from sagestream.stages import Report, Stages

if TYPE_CHECKING:
    from training.cluster.ray_tasks import Workers

Address = Annotated[
    str | None,
    typer.Option(
        help="A running Ray cluster: host:port, or auto for the one on this machine; default: an own Ray, here.",
        show_default=False,
    ),
]
NumWorkers = Annotated[
    int | None,
    typer.Option(
        min=1, max=1024, help="Processes of the own Ray; default: one for each processor.", show_default=False
    ),
]


def check_ray_options(engine: str, address: str | None, workers: int | None, *, any_ray: bool = False) -> None:
    """Raise `BadParameter` for options that do not go together, and `MissingExtra` where Ray is not installed.

    `any_ray` says that the number of workers is for a running cluster, too.
    """
    for given, name in ((address, "--address"), (workers, "--workers")):
        if given is not None and engine != "ray":
            raise BadParameter("is for --engine ray", param_hint=name)
    if address is not None and workers is not None and not any_ray:
        raise BadParameter("a running cluster has its own workers", param_hint="--workers")
    if address is not None:
        try:
            check_ray_address(address)
        except ValueError as error:
            raise BadParameter(str(error), param_hint="--address") from None
    if engine == "ray":
        require("ray")


@contextmanager
def opened_ray(address: str | None, workers: int | None, report: Report) -> Iterator[int]:
    """Start a Ray of so many workers, or join the one at the address, with those that it has.

    Yields how many tasks run at once. Raises `RayAway`.
    """
    from training.cluster.ray_cluster import joined_ray, local_ray

    report("Ray starts" if address is None else f"joins {address}", 0.0)
    with local_ray(workers) if address is None else joined_ray(address) as at_once:
        yield at_once


def tell_workers(made_by: "Workers", stages: Stages) -> dict[str, Any]:
    """Print the peak memory of each machine, and return the workers and these peaks, in MB, for the JSON object."""
    for line in made_by.lines():
        stages.say(line)
    workers = [asdict(worker) for worker in made_by.known.values()]
    return {"workers": workers, "peak_rss_mb_by_node": made_by.peak_mb_by_node()}
