"""Runtimes: writes the serving encoder as TorchScript, torch.export and ONNX files, and loads them again.

Arrives: a `ServingEncoder`. Leaves: a file, and a function that runs the loaded file. Next: `training.export.encoder`
compares its results with the model.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from training.export.serving_encoder import ServingEncoder

INPUT = "items"
OUTPUTS = ("vectors", "scores")
DIMENSIONS = ("shoppers", "events")

LARGEST_PROTOBUF = 1_500_000_000
"""Bytes of weights above which ONNX stores them in a separate file. A protobuf ends at two gigabytes."""

Run = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps item rows [B, N] to vectors [B, dim] and scores [B, num_items] of users."""


def torchscript(encoder: ServingEncoder, path: Path) -> Run:
    """Write a scripted module, which runs in Python and C++."""
    torch.jit.script(encoder).save(str(path))  # type: ignore[no-untyped-call]
    loaded: Run = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return loaded


def torch_export(encoder: ServingEncoder, path: Path) -> Run:
    """Write the traced graph without an example input."""
    program = _program(encoder)
    program.example_inputs = None  # otherwise they are pickled into the file
    torch.export.save(program, path)
    loaded: Run = torch.export.load(path).module()
    return loaded


def onnx(encoder: ServingEncoder, path: Path) -> Run:
    """Write the traced graph for ONNX Runtime. Both libraries are in the extra `export`."""
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


def _program(encoder: ServingEncoder) -> torch.export.ExportedProgram:
    """Return the encoder's graph, for any number of users and events."""
    dimensions = {index: torch.export.Dim(name) for index, name in enumerate(DIMENSIONS)}
    example = torch.zeros(2, 3, dtype=torch.int64)
    return torch.export.export(encoder, (example,), dynamic_shapes={INPUT: dimensions})


@contextmanager
def quiet() -> Iterator[None]:
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
