"""Export of a model's GraphSAGE encoder for other runtimes. Each file is loaded again and compared with the model.

Arrives: a `Recommender`; for PyTorch Geometric also its snapshot. Leaves: a directory with the requested files:
`encoder.ts` (TorchScript), `encoder.pt2` (torch.export), `encoder.onnx`, the three files of `training.export.pyg`;
`items.json` with the item ids in row order; `metadata.json` with inputs and outputs. Next: programs that serve or
continue without this code.

The directory has a temporary name until every loaded file gives the results of the model: scores of generated users, or
embeddings of all items. A file that differs is an error, and the directory is removed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphstore.errors import AlreadyExists, UserError
from graphstore.files import sha256_of, written_whole
from graphstore.progress import Progress
from graphstore.snapshots.files import Snapshot
from training.data.event_log import Histories
from training.export.runtimes import DIMENSIONS, INPUT, Run, onnx, quiet, torch_export, torchscript
from training.export.serving_encoder import ServingEncoder
from training.models.recommender import Recommender
from training.sage.term import SageTerm
from training.terms.protocol import find_term

TOLERANCE = 1e-4
"""The largest allowed difference of a score or coordinate. Float32 sums in another order differ far less."""

SHAPES = ((1, 1), (3, 17), (8, 300))
"""The batches for the comparison: users × events."""

PYG = "pyg"
PYG_AGGREGATIONS = ("mean", "max")
"""The aggregations that `SAGEConv` computes in the same way. Its LSTM also reads the padding of short
neighbourhoods."""


class ExportError(UserError):
    """The model cannot be exported, or an exported file does not give its scores."""


@dataclass(frozen=True)
class ExportedFile:
    """An exported file and its largest difference from the model."""

    format: str
    file: str
    bytes: int
    sha256: str
    largest_difference: float
    """Maximum over all scores and vector coordinates of all batches, or over all coordinates of the item embeddings."""


@dataclass(frozen=True)
class Subject:
    """The model to export, with the inputs for the comparison."""

    model: Recommender
    term: SageTerm
    batches: Sequence[Tensor]
    """Generated users: item rows [B, N], newest first."""
    snapshot: Snapshot | None

    @cached_property
    def encoder(self) -> ServingEncoder:
        """The term as one module with plain tensors as inputs."""
        return ServingEncoder(self.term).eval()

    @torch.no_grad()
    def difference(self, run: Run) -> float:
        """Return the largest difference between `run` and the term, which scores the same events as histories."""
        return max(_difference(run, self.term, batch) for batch in self.batches)


@dataclass(frozen=True)
class WriteResult:
    """The result of a format: the difference from the model, and more entries for `metadata.json`."""

    difference: float
    metadata_entries: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """A format: its files, and the function that writes them to a directory and compares them."""

    files: tuple[str, ...]
    write: Callable[[Subject, Path], WriteResult]


def export_encoder(
    model: Recommender,
    directory: Path,
    *,
    formats: Sequence[str],
    snapshot: Snapshot | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ExportedFile]:
    """Write the encoder in these `formats` (names of `FORMATS`) into the new `directory`.

    Raises `ExportError` for a model without GraphSAGE, an unknown format, or a file that differs from the model by more
    than `tolerance`. Raises `AlreadyExists` when the directory exists. ONNX needs the extra `export`. PyTorch Geometric
    needs the model's `snapshot` and an aggregation other than the LSTM.
    """
    term = find_term(model.terms, SageTerm)
    if term is None:
        raise ExportError(f"model {model.model_version} holds no GraphSAGE term: there is no encoder to export")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ExportError(f"no format {', '.join(unknown)}: there are {', '.join(FORMATS)}")
    if directory.exists():
        raise AlreadyExists(f"{directory} exists: name a new directory")
    batches = [_test_batch(shape, term.num_items, seed=seed) for shape in SHAPES]
    subject = Subject(model, term, batches, snapshot)
    with written_whole(directory) as temporary:
        temporary.mkdir(parents=True)
        files, metadata_entries = [], {}
        for index, name in enumerate(formats):
            if progress is not None:
                progress(name, index / len(formats))
            with quiet():
                written = FORMATS[name].write(subject, temporary)
            difference, metadata_entries[name] = written.difference, written.metadata_entries
            for file in FORMATS[name].files:
                if not difference <= tolerance:  # also true for NaN
                    raise ExportError(f"{file} differs from model {model.model_version} by {difference:g}")
                path = temporary / file
                files.append(ExportedFile(name, file, path.stat().st_size, sha256_of(path), difference))
        _dump(temporary / "items.json", {"item_ids": model.item_ids, "available": model.available.tolist()})
        metadata = _metadata(model, term, files, tolerance=tolerance)
        _dump(temporary / "metadata.json", metadata | {name: said for name, said in metadata_entries.items() if said})
    return files


def runtime(file: str, write: Callable[[ServingEncoder, Path], Run]) -> Format:
    """Return a format with one file for vectors and scores of users. `write` also loads the file again."""

    def written(subject: Subject, directory: Path) -> WriteResult:
        return WriteResult(subject.difference(write(subject.encoder, directory / file)))

    return Format((file,), written)


def without_pyg(model: Recommender, snapshot: Snapshot | None) -> str | None:
    """Return the reason why a GraphSAGE model cannot be written for PyTorch Geometric, None when it can."""
    term = find_term(model.terms, SageTerm)
    if term is not None and term.config.aggregation not in PYG_AGGREGATIONS:
        return f"PyTorch Geometric has no layer that does the same with {term.config.aggregation} as aggregation"
    if snapshot is None:
        return f"its graph, the snapshot that {model.model_version} was made of, is not kept any more"
    return None


def _pyg(subject: Subject, directory: Path) -> WriteResult:
    from training.export import pyg  # takes seconds to load

    reason = without_pyg(subject.model, subject.snapshot)
    if reason is not None or subject.snapshot is None:
        raise ExportError(f"no {PYG}: {reason}")
    items = pyg.ItemGraph.of(subject.model, subject.snapshot)
    pyg.write_pyg(subject.term, items, directory)
    metadata_entries = {
        "snapshot_id": subject.snapshot.snapshot_id,
        "users": items.graph.num_users,
        "pairs": len(items.graph),
        "difference_as_served": pyg.difference_as_served(subject.term, items),
    }
    return WriteResult(pyg.difference(subject.term, items, directory), metadata_entries)


FORMATS: dict[str, Format] = {
    "torchscript": runtime("encoder.ts", torchscript),
    "torch-export": runtime("encoder.pt2", torch_export),
    "onnx": runtime("encoder.onnx", onnx),
    PYG: Format(("encoder_pyg.py", "encoder_pyg.pt", "graph.pt"), _pyg),
}
"""By name on the command line."""


def _test_batch(shape: tuple[int, int], num_items: int, *, seed: int) -> Tensor:
    """Return item rows [B, N], newest first, with repeats and some −1. One user has no items."""
    rng = np.random.default_rng([seed, *shape])
    rows = rng.integers(0, num_items, shape)
    rows[rng.random(shape) < 0.1] = -1
    if shape[0] > 1:
        rows[0] = -1
    return torch.from_numpy(rows)


def _difference(run: Run, term: SageTerm, items: Tensor) -> float:
    rows = [[(item, -index, 0) for index, item in enumerate(row) if item >= 0] for row in items.tolist()]
    histories = Histories.from_rows(rows)
    expected = (term.user_vectors(histories), term.score(histories, as_of=0)[:, :, 0])
    return max(float((one - other).abs().max()) for one, other in zip(run(items), expected, strict=True))


def _metadata(model: Recommender, term: SageTerm, files: list[ExportedFile], *, tolerance: float) -> dict[str, Any]:
    config = term.config
    users, events = DIMENSIONS
    return {
        "model_version": model.model_version,
        "as_of": model.as_of,
        "what": "the GraphSAGE term of the model, not the whole blend; nothing is left out of the scores",
        "inputs": {
            INPUT: {
                "type": "int64",
                "shape": [users, events],
                "holds": "rows of items.json, each shopper's newest event first, -1 for none and for unknown items",
            }
        },
        "outputs": {
            "vectors": {"type": "float32", "shape": [users, config.dim], "holds": "unit vectors, zero for nobody"},
            "scores": {"type": "float32", "shape": [users, term.num_items], "holds": "a score for each item row"},
        },
        "last_items": config.last_items,
        "half_lives_ranks": [str(half_life) for half_life in config.half_lives_ranks],
        "decoder": config.decoder,
        "tolerance": tolerance,
        "torch": torch.__version__,
        "files": [asdict(file) for file in files],
    }


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
