"""Export: writes an encoder for other runtimes, and trains a model with several processes."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import AlreadyExists, file_errors
from sagestream.extras import require
from sagestream.printable import BadParameter, PlainConsole, echo, echo_json, echo_result
from sagestream.stages import Stages
from sagestream.verbs.bundle_options import AsJson, Bundle, ModelVersion, SnapshotName, bundle_directory
from sagestream.verbs.ray_options import Address, check_ray_options, opened_ray, tell_workers

if TYPE_CHECKING:
    from graphstore.snapshots.files import Snapshot
    from training.config import TrainingConfig
    from training.models.recommender import Recommender

LAST_SEED = 2**31 - 1

Fitted = tuple["Recommender", dict[str, float], dict[str, Any]]
"""A model, its measures, and what the JSON object tells about the fit."""


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
    engine: Annotated[
        Literal["torchrun", "ray"],
        typer.Option(help="What starts the processes: torchrun, which calls this verb in each, or a Ray (Ray Train)."),
    ] = "torchrun",
    address: Address = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=1024, help="Processes on a Ray; default: one for each of its processors.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit GraphSAGE alone with several processes, to what one finds: `torchrun … -m sagestream train-distributed`.

    The bundle is for `export` and `score`; the registry does not hear of it. As an example,

    torchrun --standalone --nproc-per-node 2 -m sagestream train-distributed --out models/mine

    Without torchrun, a Ray starts the processes:

    sagestream train-distributed --engine ray --workers 2 --out models/mine
    """
    from graphstore.snapshots.files import load_snapshot
    from sagestream.registered import snapshot_directory
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.models.bundle import save_bundle

    check_ray_options(engine, address, workers, any_ray=True)
    if out.exists():
        raise AlreadyExists(f"{out} exists: name a new directory")
    config = current_config(TrainingConfig())
    found = load_snapshot(snapshot_directory(GraphstoreConfig(), snapshot))
    fitted: Fitted | None
    if engine == "ray":
        fitted = _fit_by_ray(
            found, out.name, config, seed=seed, timeout_seconds=timeout_seconds, address=address, workers=workers
        )
    else:
        fitted = _fit_by_torchrun(found, out.name, config, seed=seed, timeout_seconds=timeout_seconds)
    if fitted is None:
        return
    model, metrics, told = fitted
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
        **told,
        "metrics": metrics,
    }
    echo_result(told, f"{out}: ndcg@20 {metrics['ndcg@20']:.4f} on the test window", as_json=as_json)


def _fit_by_torchrun(
    snapshot: "Snapshot", version: str, config: "TrainingConfig", *, seed: int, timeout_seconds: float
) -> Fitted | None:
    """Fit as one of the processes that `torchrun` has started. Only the first one returns the model."""
    import torch

    from training.models.sage_only import fit_sage_model
    from training.options import TrainingOptions
    from training.sage.process_group import join_process_group

    torch.set_num_threads(config.training_threads)
    with join_process_group(timeout_seconds=timeout_seconds) as group:
        stages = Stages(PlainConsole(stderr=True, quiet=group.rank > 0))
        with stages.stage("train", f"GraphSAGE by {group.size} processes") as report:
            options = TrainingOptions(seed=seed, progress=report)
            model, metrics = fit_sage_model(
                snapshot, model_version=version, config=config, options=options, group=group
            )
    if group.rank > 0:
        return None
    return model, metrics, {"processes": group.size, "seconds": stages.seconds["train"]}


def _fit_by_ray(
    snapshot: "Snapshot",
    version: str,
    config: "TrainingConfig",
    *,
    seed: int,
    timeout_seconds: float,
    address: str | None,
    workers: int | None,
) -> Fitted:
    """Fit with processes of a Ray. Raises `BadParameter` for more than it has processors: they would wait for ever."""
    from training.cluster.ray_group import FitJob, fit_by_ray
    from training.cluster.ray_tasks import Workers
    from training.cluster.shared_files import SharedFiles

    job = FitJob(SharedFiles.of(snapshot.path), model_version=version, config=config, seed=seed)
    made_by, stages = Workers(), Stages(PlainConsole(stderr=True))
    with (
        stages.stage("train", "GraphSAGE by a Ray") as report,
        opened_ray(address, workers, report) as processors,
    ):
        size = workers or processors
        if size > processors:
            raise BadParameter(f"the Ray at {address} has {processors} processors", param_hint="--workers")
        report(f"{size} processes", 0.0)
        model, metrics = fit_by_ray(job, size=size, timeout_seconds=timeout_seconds, workers=made_by)
    told = {"processes": size, "seconds": stages.seconds["train"]}
    return model, metrics, told | tell_workers(made_by, stages)


def _snapshot_behind(bundle: Path) -> "Snapshot | None":
    """Return the training snapshot of a bundle's model, or None when it is deleted."""
    from graphstore.snapshots.files import load_snapshot
    from training.models.bundle import snapshot_of

    path = GraphstoreConfig().snapshots_dir / snapshot_of(bundle)
    return load_snapshot(path) if path.is_dir() else None
