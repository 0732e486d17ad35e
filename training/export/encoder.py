"""Encoder export: writes a model's GraphSAGE encoder for other runtimes and checks each file against the model.

Arrives: a `Recommender`. Leaves: a directory with the requested formats of `encoder.ts` (TorchScript), `encoder.pt2`
(torch.export) and `encoder.onnx`. It also holds `items.json` with the item ids in row order, and `metadata.json`, which
describes inputs and outputs. Next: runtimes without this code.

The directory is written to a temporary name. It is renamed only after every file, loaded again, has returned the
model's scores on random users. After a difference an error is raised and no file stays.
"""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphstore.files import written_whole
from graphstore.progress import Progress
from training.data.event_log import Histories
from training.export.serving_encoder import ServingEncoder
from training.models.bundle import sha256_of
from training.models.recommender import Recommender
from training.sage.term import SageTerm
from training.terms.protocol import named

TOLERANCE = 1e-4
"""Maximum difference of a score or a coordinate. Float32 sums in another order differ much less."""

SHAPES = ((1, 1), (3, 17), (8, 300))
"""Batches for the check: users × events."""

INPUT = "items"
OUTPUTS = ("vectors", "scores")
DIMENSIONS = ("shoppers", "events")

LARGEST_PROTOBUF = 1_500_000_000
"""Bytes of weights above which ONNX stores them in a separate file. A protobuf ends at two gigabytes."""

Run = Callable[[Tensor], tuple[Tensor, Tensor]]


class ExportError(ValueError):
    """The model cannot be exported, or an exported file returns other scores."""


@dataclass(frozen=True)
class ExportedFile:
    """An exported file and its difference from the model."""

    format: str
    file: str
    bytes: int
    sha256: str
    largest_difference: float
    """Maximum over all scores and vector coordinates of all test batches."""


def export_encoder(
    model: Recommender,
    directory: Path,
    *,
    formats: Sequence[str],
    tolerance: float = TOLERANCE,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[ExportedFile]:
    """Write the encoder in these `formats` (names of `FORMATS`) into the new `directory`.

    Raises `ExportError` for a model without GraphSAGE, an unknown format, or a file that differs from the model by more
    than `tolerance`. Raises `FileExistsError` when the directory exists. ONNX needs the extra `export`.
    """
    term = named(model.terms, SageTerm)
    if term is None:
        raise ExportError(f"model {model.model_version} holds no GraphSAGE term: there is no encoder to export")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise ExportError(f"no format {', '.join(unknown)}: there are {', '.join(FORMATS)}")
    if directory.exists():
        raise FileExistsError(f"{directory} exists: name a new directory")
    encoder = ServingEncoder(term).eval()
    batches = [_test_batch(shape, term.num_items, seed=seed) for shape in SHAPES]
    with written_whole(directory) as temporary:
        temporary.mkdir(parents=True)
        files = []
        for index, name in enumerate(formats):
            if progress is not None:
                progress(name, index / len(formats))
            file, write = FORMATS[name]
            with _quiet():
                run = write(encoder, temporary / file)
                difference = max(_difference(run, term, batch) for batch in batches)
            if not difference <= tolerance:  # also true for NaN
                raise ExportError(f"{file} differs from model {model.model_version} by {difference:g}")
            path = temporary / file
            files.append(ExportedFile(name, file, path.stat().st_size, sha256_of(path), difference))
        _dump(temporary / "items.json", {"item_ids": model.item_ids, "available": model.available.tolist()})
        _dump(temporary / "metadata.json", _metadata(model, term, files, tolerance=tolerance))
    return files


def _torchscript(encoder: ServingEncoder, path: Path) -> Run:
    torch.jit.script(encoder).save(str(path))  # type: ignore[no-untyped-call]
    loaded: Run = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return loaded


def _torch_export(encoder: ServingEncoder, path: Path) -> Run:
    program = _program(encoder)
    program.example_inputs = None  # otherwise they are pickled into the file
    torch.export.save(program, path)
    loaded: Run = torch.export.load(path).module()
    return loaded


def _onnx(encoder: ServingEncoder, path: Path) -> Run:
    import onnxruntime

    exported = torch.onnx.export(
        _program(encoder), dynamo=True, input_names=[INPUT], output_names=OUTPUTS, verbose=False
    )
    assert exported is not None
    weights = sum(buffer.numel() * buffer.element_size() for buffer in encoder.buffers())
    exported.save(path, external_data=weights > LARGEST_PROTOBUF)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(items: Tensor) -> tuple[Tensor, Tensor]:
        vectors, scores = session.run(list(OUTPUTS), {INPUT: items.numpy()})
        return torch.from_numpy(vectors), torch.from_numpy(scores)

    return run


FORMATS: dict[str, tuple[str, Callable[[ServingEncoder, Path], Run]]] = {
    "torchscript": ("encoder.ts", _torchscript),
    "torch-export": ("encoder.pt2", _torch_export),
    "onnx": ("encoder.onnx", _onnx),
}
"""By name: the file, and the function that writes and loads it."""


def _program(encoder: ServingEncoder) -> torch.export.ExportedProgram:
    """Return the encoder's graph, for any number of users and events."""
    dimensions = {index: torch.export.Dim(name) for index, name in enumerate(DIMENSIONS)}
    example = torch.zeros(2, 3, dtype=torch.int64)
    return torch.export.export(encoder, (example,), dynamic_shapes={INPUT: dimensions})


def _test_batch(shape: tuple[int, int], num_items: int, *, seed: int) -> Tensor:
    """Return item rows [B, N], newest first, with repeats and some −1. One user has no items."""
    rng = np.random.default_rng([seed, *shape])
    rows = rng.integers(0, num_items, shape)
    rows[rng.random(shape) < 0.1] = -1
    if shape[0] > 1:
        rows[0] = -1
    return torch.from_numpy(rows)


@torch.no_grad()
def _difference(run: Run, term: SageTerm, items: Tensor) -> float:
    """Return the largest difference from the term itself, which scores the same events as histories."""
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide torch's messages about old TorchScript, missing torchvision and its own deprecated call."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
