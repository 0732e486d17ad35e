"""Export: writes an encoder for other runtimes, and trains a model with several processes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import AlreadyExists, file_errors
from sagestream.extras import require
from sagestream.printable import PlainConsole, echo, echo_json, echo_result
from sagestream.stages import Stages
from sagestream.verbs.bundle_options import AsJson, Bundle, ModelVersion, SnapshotName, bundle_directory

if TYPE_CHECKING:
    from graphstore.snapshots.files import Snapshot

LAST_SEED = 2**31 - 1


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(export)
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
    directory = bundle_directory(model_version, bundle)
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


def _snapshot_behind(bundle: Path) -> "Snapshot | None":
    """Return the training snapshot of a bundle's model, or None when it is deleted."""
    from graphstore.snapshots.files import load_snapshot
    from training.models.bundle import snapshot_of

    path = GraphstoreConfig().snapshots_dir / snapshot_of(bundle)
    return load_snapshot(path) if path.is_dir() else None
