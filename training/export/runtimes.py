"""The serving encoder in the files of other runtimes: TorchScript, torch.export and ONNX.

Arrives: a `ServingEncoder`. Leaves: a file, and the same read again, to be run. Next: `training.export.encoder` holds
what was read against the model.
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
"""Bytes of weights above which ONNX keeps them in a file beside the graph: a protobuf ends at two gigabytes."""

Run = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Vectors [B, dim] and scores [B, num_items] of shoppers from item rows [B, N]."""


def torchscript(encoder: ServingEncoder, path: Path) -> Run:
    """Write a scripted module; it runs in Python and C++ alike."""
    torch.jit.script(encoder).save(str(path))  # type: ignore[no-untyped-call]
    loaded: Run = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    return loaded


def torch_export(encoder: ServingEncoder, path: Path) -> Run:
    """Write the traced graph, without an example of its input."""
    program = _program(encoder)
    program.example_inputs = None  # they would be pickled into the file
    torch.export.save(program, path)
    loaded: Run = torch.export.load(path).module()
    return loaded


def onnx(encoder: ServingEncoder, path: Path) -> Run:
    """Write the traced graph for ONNX Runtime, which reads it again; both libraries are the extra `export`."""
    import onnxruntime

    made = torch.onnx.export(_program(encoder), dynamo=True, input_names=[INPUT], output_names=OUTPUTS, verbose=False)
    assert made is not None
    weights = sum(buffer.numel() * buffer.element_size() for buffer in encoder.buffers())
    made.save(path, external_data=weights > LARGEST_PROTOBUF)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(items: Tensor) -> tuple[Tensor, Tensor]:
        vectors, scores = session.run(list(OUTPUTS), {INPUT: items.numpy()})
        return torch.from_numpy(vectors), torch.from_numpy(scores)

    return run


def _program(encoder: ServingEncoder) -> torch.export.ExportedProgram:
    """The graph of the encoder, for any number of shoppers and events."""
    dimensions = {place: torch.export.Dim(name) for place, name in enumerate(DIMENSIONS)}
    example = torch.zeros(2, 3, dtype=torch.int64)
    return torch.export.export(encoder, (example,), dynamic_shapes={INPUT: dimensions})


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch says of itself: that TorchScript is old, that torchvision is missing, a call of its own."""
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
