"""Export: writes an encoder for other runtimes or all shoppers' lists, and trains a model with several processes."""

import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import AlreadyExists, file_errors
from sagestream.extras import require
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json, echo_result
from sagestream.stages import Stages

if TYPE_CHECKING:
    from graphstore.snapshots.files import Snapshot
    from training.models.recommender import Recommender

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ModelVersion = Annotated[
    str | None, typer.Argument(help="A model of the registry; default: the champion.", show_default=False)
]
Bundle = Annotated[
    Path | None, typer.Option(help="A bundle's directory instead of a registered model.", show_default=False)
]
SnapshotName = Annotated[
    str | None,
    typer.Option("--snapshot", help="Name or directory of a snapshot; default: the newest.", show_default=False),
]

LAST_SEED = 2**31 - 1


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(export)
    app.command()(score)
    app.command("train-distributed")(train_distributed)


def export(
    model_version: ModelVersion = None,
    out: Annotated[Path, typer.Option(help="The new directory.")] = Path("exported"),
    format_: Annotated[
        Literal["torchscript", "torch-export", "onnx", "pyg", "all"],
        typer.Option("--format", help="Which files; pyg: plain PyTorch Geometric, with its graph."),
    ] = "all",
    bundle: Bundle = None,
    as_json: AsJson = False,
) -> None:
    """Write a model's GraphSAGE encoder for other runtimes, each file checked against the model."""
    from training.export.encoder import FORMATS, PYG, export_encoder, without_pyg
    from training.models.bundle import load_bundle

    formats: list[str] = list(FORMATS) if format_ == "all" else [format_]
    if "onnx" in formats:
        for module in ("onnxscript", "onnxruntime"):
            require(module)
    directory = _directory(model_version, bundle)
    model, stages = load_bundle(directory), Stages(PlainConsole(stderr=True))
    snapshot = _snapshot_behind(directory) if PYG in formats else None
    if format_ == "all" and (reason := without_pyg(model, snapshot)):
        stages.say((f"{PYG} is left out", "yellow"), f": {reason}")
        formats.remove(PYG)
    with stages.stage("export", f"Export of {model.model_version}") as report, file_errors(out):
        files = export_encoder(model, out, formats=formats, snapshot=snapshot, progress=report)
    if as_json:
        told = {"model_version": model.model_version, "directory": str(out), "files": [asdict(file) for file in files]}
        echo_json(told, allow_nan=False)
        return
    for file in files:
        echo(f"{out / file.file}: {file.bytes:,} bytes, at most {file.largest_difference:.1e} from the model")


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
    """
    from graphstore.snapshots.files import load_snapshot
    from sagestream.mailing import MAX_ITEMS, logging_to, open_mailing
    from sagestream.registered import snapshot_directory
    from serving.config import ServingConfig
    from serving.links import template_problem
    from serving.publisher import BLOCK_USERS
    from serving.source import HISTORY_LIMIT
    from stream.events import id_problem
    from training.export.batch_lists import SUFFIXES, only, recommend_all, write_lists

    if out.suffix not in SUFFIXES:
        raise BadParameter(f"{out} ends with neither {' nor '.join(SUFFIXES)}", param_hint="--out")
    config = ServingConfig()
    length = k or config.list_length
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
    model = _model(model_version, bundle)
    stages = Stages(PlainConsole(stderr=True))
    with ExitStack() as stack, stages.stage("score", f"Lists by {model.model_version}") as report:
        found = load_snapshot(snapshot_directory(GraphstoreConfig(), snapshot))
        lists = recommend_all(
            model, found, k=length, history_limit=HISTORY_LIMIT, block_users=block_users or BLOCK_USERS
        )
        known = wanted if wanted is None else wanted.intersection(found.user_ids)
        if known is not None:
            lists = only(lists, known)
        if links is not None:
            mailing = open_mailing(config, model.model_version, found.snapshot_id, links=links, slot=slot, k=length)
            lists = mailing.logged(lists, stack.enter_context(logging_to(direct=direct)))
        with file_errors(out):
            total = found.num_users if known is None else len(known)
            written = write_lists(lists, out, total=total, linked=links is not None, progress=report)
    told = {
        "model_version": model.model_version,
        "snapshot_id": found.snapshot_id,
        "file": str(out),
        "users": written,
        "seconds": stages.seconds["score"],
    }
    said = f"{out}: the lists of {written:,} shoppers of {found.snapshot_id}"
    if wanted is not None and known is not None:
        told["unknown_users"] = len(wanted) - len(known)
        said += f"; {len(wanted) - len(known):,} of {users} are not in it"
    if links is not None:
        told["slot"] = slot
    echo_result(told, said, as_json=as_json)


def train_distributed(
    out: Annotated[Path, typer.Option(help="The new bundle's directory; its name is the model's version.")],
    snapshot: SnapshotName = None,
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Seed of the training.")] = 0,
    timeout_seconds: Annotated[
        float, typer.Option(min=1, max=86_400, help="How long one process waits for another.")
    ] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Fit GraphSAGE alone with several processes, to what one finds: `torchrun … -m sagestream train-distributed`.

    The bundle is for `export` and `score`; the registry does not hear of it. As an example,

    torchrun --standalone --nproc-per-node 2 -m sagestream train-distributed --out models/mine
    """
    import torch

    from graphstore.snapshots.files import load_snapshot
    from sagestream.registered import snapshot_directory
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.models.bundle import save_bundle
    from training.models.sage_only import fit_sage_model
    from training.options import TrainingOptions
    from training.sage.process_group import join_process_group

    if out.exists():
        raise AlreadyExists(f"{out} exists: name a new directory")
    config = current_config(TrainingConfig())
    torch.set_num_threads(config.training_threads)
    found = load_snapshot(snapshot_directory(GraphstoreConfig(), snapshot))
    with join_process_group(timeout_seconds=timeout_seconds) as group:
        stages = Stages(PlainConsole(stderr=True, quiet=group.rank > 0))
        with stages.stage("train", f"GraphSAGE by {group.size} processes") as report:
            model, metrics = fit_sage_model(
                found,
                model_version=out.name,
                config=config,
                options=TrainingOptions(seed=seed, progress=report),
                group=group,
            )
    if group.rank > 0:
        return
    with file_errors(out):
        save_bundle(
            model,
            out.parent,
            snapshot_id=found.snapshot_id,
            parent=None,
            metrics=metrics,
            config=json.loads(config.model_dump_json()),
        )
    told = {
        "model_version": model.model_version,
        "bundle": str(out),
        "snapshot_id": found.snapshot_id,
        "processes": group.size,
        "seconds": stages.seconds["train"],
        "metrics": metrics,
    }
    echo_result(told, f"{out}: ndcg@20 {metrics['ndcg@20']:.4f} on the test window", as_json=as_json)


def _ids(file: Path) -> set[str]:
    """Return the ids in a file, one a line."""
    with file_errors(file):
        return set(file.read_text(encoding="utf-8").splitlines()) - {""}


def _model(model_version: str | None, bundle: Path | None) -> "Recommender":
    """Return the model from a bundle's directory or from the registry. The default is the champion."""
    from training.models.bundle import load_bundle

    return load_bundle(_directory(model_version, bundle))


def _directory(model_version: str | None, bundle: Path | None) -> Path:
    """Return the directory of the named bundle, or of the champion's bundle."""
    from sagestream.registered import registered_bundle

    if bundle is None:
        return registered_bundle(GraphstoreConfig(), model_version)
    if model_version is not None:
        raise BadParameter("name a model or a bundle, not both", param_hint="--bundle")
    return bundle


def _snapshot_behind(bundle: Path) -> "Snapshot | None":
    """Return the training snapshot of a bundle's model, or None when it is deleted."""
    from graphstore.snapshots.files import load_snapshot
    from training.models.bundle import snapshot_of

    path = GraphstoreConfig().snapshots_dir / snapshot_of(bundle)
    return load_snapshot(path) if path.is_dir() else None
