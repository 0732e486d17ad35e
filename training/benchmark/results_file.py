"""Results file: reads each model's measures over its seeds from the JSON of a benchmark.

Arrives: the file of `sagestream benchmark --json`. Leaves: means and deviations. Next: `training.inspection.plots`
draws them.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphstore.errors import UserError
from graphstore.files import read_json
from training.benchmark.comparison import RATIOS

MAX_BYTES = 16_000_000
MAX_MODELS = 100


class ResultsFileError(UserError):
    """The file is no benchmark result. The message names the missing part."""


@dataclass(frozen=True)
class BenchmarkResults:
    """The part of a benchmark's results that is drawn."""

    dataset: str
    split: str
    models: dict[str, dict[str, tuple[float, float]]]
    """By model: NDCG@20 and recall@20, each as mean over users and standard deviation over seeds."""


def load_results(path: Path) -> BenchmarkResults:
    """Read the file. Raises `ResultsFileError` for other content, `OSError` when the file cannot be read."""
    content = read_json(path, max_bytes=MAX_BYTES, error=ResultsFileError)
    rows = content.get("models") if isinstance(content, dict) else None
    if not isinstance(rows, dict) or not rows:
        raise ResultsFileError(f"{path} names no models: it is not what `sagestream benchmark --json` writes")
    if len(rows) > MAX_MODELS:
        raise ResultsFileError(f"{path} names {len(rows)} models, at most {MAX_MODELS} are drawn")
    models = {name: {measure: _figure(path, name, row, measure) for measure in RATIOS} for name, row in rows.items()}
    return BenchmarkResults(str(content.get("dataset", path.name)), str(content.get("split", "")), models)


def _figure(path: Path, model: str, row: Any, measure: str) -> tuple[float, float]:
    found = row.get(measure) if isinstance(row, dict) else None
    values = (found.get("mean"), found.get("std")) if isinstance(found, dict) else (None, None)
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        raise ResultsFileError(f"{path}: {model} has no mean and deviation of {measure}")
    mean, deviation = values
    return float(mean), float(deviation)  # type: ignore[arg-type]
