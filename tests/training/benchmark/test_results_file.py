"""A benchmark's file, read back: the figures that were written, and a reason where they are not there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.benchmark.comparison import ModelResult, Results
from training.benchmark.results_file import MAX_BYTES, MAX_MODELS, ResultsFileError, load_results


def result(ndcg: float) -> ModelResult:
    measures = {"ndcg@20": (ndcg, 0.01), "recall@20": (ndcg / 2, 0.0), "novelty@20": (7.0, 0.0)}
    return ModelResult(measures, {}, {"ndcg@20": np.array([ndcg])}, None, (), None, None, seeds=1)


def test_what_a_benchmark_writes_is_read(tmp_path: Path) -> None:
    results = Results("temporal", (20,), 1, {"sagestream": result(0.4), "popular": result(0.2)})
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results.as_json("shop.csv", understood={})))
    read = load_results(file)
    assert (read.dataset, read.split) == ("shop.csv", "temporal")
    assert read.models["sagestream"] == {"ndcg@20": (0.4, 0.01), "recall@20": (0.2, 0.0)}
    assert list(read.models) == ["sagestream", "popular"]


ROW = {"ndcg@20": {"mean": 0.1, "std": 0.0}, "recall@20": {"mean": 0.1, "std": 0.0}}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ("[]", "names no models"),
        ({"models": {}}, "names no models"),
        ({"models": {"popular": 3}}, "popular has no mean"),
        ({"models": {"popular": {"ndcg@20": {"mean": "high", "std": 0}}}}, "of ndcg@20"),
        ({"models": {"popular": {**ROW, "recall@20": {"mean": 0.1}}}}, "of recall@20"),
        ('{"models": {"popular": {"ndcg@20": {"mean": NaN, "std": 0}}}}', "of ndcg@20"),
        ({"models": {f"m{place}": ROW for place in range(MAX_MODELS + 1)}}, "at most 100"),
        (" " * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ResultsFileError, match=said):
        load_results(file)
