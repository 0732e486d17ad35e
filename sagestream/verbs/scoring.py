"""Scoring: writes the lists of all shoppers, or of one part of them, to a file."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.printable import BadParameter, PlainConsole, echo_result
from sagestream.stages import Stages
from sagestream.verbs.bundle_options import AsJson, Bundle, ModelVersion, SnapshotName, bundle_directory
from sagestream.verbs.ray_options import Address, NumWorkers, check_ray_options, opened_ray, tell_workers

if TYPE_CHECKING:
    from training.export.parts import Part


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(score)


def score(
    out: Annotated[Path, typer.Option(help="The new file: .parquet or .jsonl.", show_default=False)],
    model_version: ModelVersion = None,
    bundle: Bundle = None,
    snapshot: SnapshotName = None,
    k: Annotated[
        int | None,
        typer.Option(
            min=1, max=1000, help="Items in each list; default: as many as are published.", show_default=False
        ),
    ] = None,
    block_users: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Shoppers scored at a time; default: as published.", show_default=False),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="Only one part of the shoppers: 3/8 is the third of eight; default: everybody.", show_default=False
        ),
    ] = None,
    engine: Annotated[
        Literal["process", "ray"],
        typer.Option(help="What makes the lists: this process, or the workers of a Ray, on one machine or several."),
    ] = "process",
    address: Address = None,
    workers: NumWorkers = None,
    users: Annotated[
        Path | None,
        typer.Option(
            help="A file with one shopper's id a line: only their lists; default: everybody's.", show_default=False
        ),
    ] = None,
    links: Annotated[
        str | None,
        typer.Option(
            help="Address of an item's page, with {item_id}: each list gets signed links, and is logged as shown.",
            show_default=False,
        ),
    ] = None,
    slot: Annotated[str, typer.Option(help="Where the lists with links are shown.")] = "email",
    direct: Annotated[bool, typer.Option("--direct", help="Log lists with links in the graph, without Kafka.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the lists of every shopper of a snapshot to a Parquet or JSON lines file, block by block.

    With links for a mail, clicks on them are credited to the list. As an example,

    sagestream score --out mail.jsonl --users subscribers.txt --k 6 --links 'https://shop.example/p/{item_id}'

    Several machines share the work when each takes a part of the same model and snapshot:

    sagestream score MODEL --snapshot SNAPSHOT --part 3/8 --out lists-3.jsonl
    """
    from graphstore.snapshots.files import load_snapshot
    from sagestream.mailing import MAX_ITEMS, logging_to, open_mailing
    from sagestream.registered import snapshot_directory
    from serving.config import ServingConfig
    from serving.links import template_problem
    from serving.publication import BLOCK_USERS
    from serving.source import HISTORY_LIMIT
    from stream.events import id_problem
    from training.cluster.ray_tasks import Workers
    from training.cluster.shared_files import SharedFiles
    from training.export.batch_lists import SUFFIXES, only, recommend_all, write_lists
    from training.export.block_lists import count_blocks, rows_of_part
    from training.export.ray_blocks import ScoringJob, lists_by_ray
    from training.models.bundle import load_bundle, version_of

    if out.suffix not in SUFFIXES:
        raise BadParameter(f"{out} ends with neither {' nor '.join(SUFFIXES)}", param_hint="--out")
    config = ServingConfig()
    length = k or config.list_length
    chosen = _part(part)
    check_ray_options(engine, address, workers)
    if links is None and direct:
        raise BadParameter("only lists with links are logged", param_hint="--direct")
    if links is not None:
        if problem := template_problem(links):
            raise BadParameter(problem, param_hint="--links")
        if problem := id_problem(slot):
            raise BadParameter(problem, param_hint="--slot")
        if k is not None and k > MAX_ITEMS:
            raise BadParameter(f"lists with links have at most {MAX_ITEMS} items", param_hint="--k")
        length = min(length, MAX_ITEMS)
    wanted = None if users is None else _ids(users)
    size = block_users or BLOCK_USERS
    directory = bundle_directory(model_version, bundle)
    version = version_of(directory)
    made_by = Workers()
    stages = Stages(PlainConsole(stderr=True))
    with ExitStack() as stack, stages.stage("score", f"Lists by {version}") as report:
        found = load_snapshot(snapshot_directory(GraphstoreConfig(), snapshot))
        if engine == "ray":
            at_once = stack.enter_context(opened_ray(address, workers, report))
            files = SharedFiles.of(directory, found.path)
            job = ScoringJob(files, k=length, history_limit=HISTORY_LIMIT, block_users=size)
            blocks = chosen.of(count_blocks(found.num_users, size))
            lists = lists_by_ray(job, blocks, at_once=at_once, workers=made_by)
        else:
            model = load_bundle(directory)
            lists = recommend_all(model, found, k=length, history_limit=HISTORY_LIMIT, block_users=size, part=chosen)
        rows = rows_of_part(chosen, found.num_users, size)
        here = found.user_ids[rows.start : rows.stop]
        if wanted is not None:
            lists = only(lists, wanted)
        if links is not None:
            mailing = open_mailing(config, version, found.snapshot_id, links=links, slot=slot, k=length)
            lists = mailing.logged(lists, stack.enter_context(logging_to(direct=direct)))
        with file_errors(out):
            total = len(here) if wanted is None else len(wanted.intersection(here))
            written = write_lists(lists, out, total=total, linked=links is not None, progress=report)
    told: dict[str, Any] = {
        "model_version": version,
        "snapshot_id": found.snapshot_id,
        "file": str(out),
        "users": written,
        "seconds": stages.seconds["score"],
    }
    said = f"{out}: the lists of {written:,} shoppers of {found.snapshot_id}"
    if part is not None:
        told |= {"part": str(chosen), "part_users": len(rows), "snapshot_users": found.num_users}
        said += f", part {chosen} with {len(rows):,} of {found.num_users:,}"
    if wanted is not None:
        told["unknown_users"] = len(wanted.difference(found.user_ids))
        said += f"; {told['unknown_users']:,} of {users} are not in it"
    if links is not None:
        told["slot"] = slot
    if engine == "ray":
        told |= tell_workers(made_by, stages)
    echo_result(told, said, as_json=as_json)


def _part(text: str | None) -> "Part":
    """Return the part that the option names; without it, everybody. Raises `BadParameter`."""
    from training.export.parts import WHOLE, NoPart, Part

    try:
        return WHOLE if text is None else Part.parse(text)
    except NoPart as error:
        raise BadParameter(str(error), param_hint="--part") from error


def _ids(file: Path) -> set[str]:
    """Return the ids in a file, one a line."""
    with file_errors(file):
        return set(file.read_text(encoding="utf-8").splitlines()) - {""}
