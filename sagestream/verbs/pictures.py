"""Pictures: draws a model's ranking curves, learning curve and item map, or the results of a benchmark."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from graphstore.config import GraphstoreConfig
from graphstore.errors import file_errors
from sagestream.extras import require
from sagestream.printable import BadParameter, PlainConsole, echo_result
from sagestream.stages import Stages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from graphstore.snapshots.files import Snapshot
    from training.models.recommender import Recommender

PICTURES = "pictures"
"""The directory name in the state directory."""

What = Literal["curves", "learning", "embeddings", "all"]
Method = Literal["tsne", "umap"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(visualize)


@dataclass
class _Album:
    """The directory of the pictures, and the files written so far."""

    directory: Path
    files: list[str] = field(default_factory=list)

    def add(self, figure: "Figure", name: str) -> None:
        from training.inspection.plots import FORMATS, save

        with file_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            self.files += [str(save(figure, self.directory / f"{name}{ending}")) for ending in FORMATS]


def visualize(
    model_version: Annotated[
        str | None, typer.Argument(help="A model of the registry; default: the champion.", show_default=False)
    ] = None,
    what: Annotated[What, typer.Option(help="What to draw.")] = "all",
    out: Annotated[
        Path | None, typer.Option(help="Directory of the pictures; default: in the state directory.")
    ] = None,
    method: Annotated[Method, typer.Option(help="How embeddings are laid out on a plane.")] = "tsne",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of samples and of the layout.")] = 0,
    json_results: Annotated[
        Path | None, typer.Option(help="Draw what `benchmark --json` wrote, and no model.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw a model, as PNG and SVG: metric and precision-recall curves, learning curves, a map of its items."""
    if out is not None and out.exists() and not out.is_dir():
        raise BadParameter(f"{out} is no directory", param_hint="--out")
    if json_results is not None and model_version is not None:
        raise BadParameter("a benchmark's file or a model, not both", param_hint="--json-results")
    require("matplotlib")
    if method == "umap" and json_results is None and what in ("embeddings", "all"):
        require("umap")

    graph = GraphstoreConfig()
    stages = Stages(PlainConsole(stderr=True))
    directory = out or graph.state_dir / PICTURES
    if json_results is not None:
        album = _Album(directory)
        told = _benchmark(json_results, album)
    else:
        model, snapshot = _model(model_version, graph)
        album = _Album(out or directory / model.model_version)
        told = _drawn(model, snapshot, what, album, method=method, seed=seed, stages=stages)
    told["pictures"] = album.files
    echo_result(told, "\n".join(album.files), as_json=as_json, allow_nan=False)


def _benchmark(file: Path, album: _Album) -> dict[str, Any]:
    from training.benchmark.results_file import load_results
    from training.inspection.plots import benchmark_bars

    results = load_results(file)
    album.add(benchmark_bars(results.models, title=f"{results.dataset}, {results.split} split"), "benchmark")
    return {"dataset": results.dataset, "split": results.split}


def _model(model_version: str | None, graph: GraphstoreConfig) -> "tuple[Recommender, Snapshot]":
    from graphstore.snapshots.files import load_snapshot, newest_snapshot
    from sagestream.registered import registered_bundle
    from training.models.bundle import load_bundle

    return load_bundle(registered_bundle(graph, model_version)), load_snapshot(newest_snapshot(graph.snapshots_dir))


def _drawn(
    model: "Recommender", snapshot: "Snapshot", what: What, album: _Album, *, method: Method, seed: int, stages: Stages
) -> dict[str, Any]:
    """Draw the pictures and return their figures.

    With `all`, a picture that this model cannot have is left out and reported. When every picture is left out, the last
    error is raised.
    """
    from training.data.dataset import TooFewEvents
    from training.inspection.item_map import NoMap
    from training.inspection.learning_curve import NothingLearned

    told: dict[str, Any] = {"model_version": model.model_version, "snapshot_id": snapshot.snapshot_id}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "curves": lambda: _curves(model, snapshot, album, seed=seed),
        "learning": lambda: _learning(model, album),
        "embeddings": lambda: _embeddings(model, snapshot, album, method=method, seed=seed),
    }
    left_out: dict[str, str] = {}
    last: Exception | None = None
    for name, draw in parts.items():
        if what not in (name, "all"):
            continue
        try:
            with stages.stage(name, name.capitalize()):
                told[name] = draw()
        except (TooFewEvents, NoMap, NothingLearned) as error:
            if what != "all":
                raise
            left_out[name], last = str(error), error
            stages.say((f"no {name}", "yellow"), f": {error}")
    if last is not None and not album.files:
        raise last
    return {**told, "left_out": left_out}


def _curves(model: "Recommender", snapshot: "Snapshot", album: _Album, *, seed: int) -> dict[str, Any]:
    from training.config import TrainingConfig
    from training.config_file import current_config
    from training.inspection.plots import metric_curves, precision_recall
    from training.inspection.ranking_curves import ranking_curves

    found = ranking_curves(model, snapshot, max_users=current_config(TrainingConfig()).evaluation_users, seed=seed)
    title = f"{model.model_version} on what came after it, {found.users:,} shoppers"
    album.add(metric_curves(found.models, title=title), "metric_curves")
    album.add(precision_recall(found.models, title=title), "precision_recall")
    return {
        "users": found.users,
        "since": found.since,
        **{
            name: {measure: [round(float(value), 6) for value in values] for measure, values in measures.items()}
            for name, measures in found.models.items()
        },
    }


def _learning(model: "Recommender", album: _Album) -> dict[str, Any]:
    from training.inspection.learning_curve import evaluations_of, kept_step
    from training.inspection.plots import learning_curve

    evaluations = evaluations_of(model)
    kept = kept_step(evaluations)
    album.add(
        learning_curve(evaluations, kept_step=kept, title=f"{model.model_version}, how it learned"), "learning_curve"
    )
    return {"kept_step": kept, "looks": [evaluation._asdict() for evaluation in evaluations]}


def _embeddings(
    model: "Recommender", snapshot: "Snapshot", album: _Album, *, method: Method, seed: int
) -> dict[str, Any]:
    import torch

    from training.data.dataset import Dataset
    from training.inspection.item_map import item_vectors, lay_out, sample_items, widest_groups
    from training.inspection.plots import embedding_map

    torch.set_num_threads(1)  # several threads add in any order, and the sums would differ between runs
    source, rows, vectors = item_vectors(model, sample_items(model, seed=seed), seed=seed)
    dataset = Dataset.from_snapshot(snapshot, first_keys=model.item_keys, first_ids=model.item_ids)
    groups = widest_groups(dataset.catalogue.categories[: model.num_items])
    points = lay_out(vectors, method=method, seed=seed)
    name = {"tsne": "t-SNE", "umap": "UMAP"}[method]
    title = f"{model.model_version}, {len(rows):,} items by {source}, {name}"
    figure = embedding_map(points, [groups[row] for row in rows], title=title, legend="widest category (items)")
    album.add(figure, f"embeddings_{method}")
    return {"source": source, "items": len(rows), "method": method}
