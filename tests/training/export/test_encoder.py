"""Exported encoders give the model's scores in runtimes that know nothing of it, and a wrong one is not left behind."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from graphstore.catalogue import Catalogue
from graphstore.errors import AlreadyExists
from tests.training.export.test_serving_encoder import LOG, newest_first, term_of
from training.blend.blend import Blend
from training.data.dataset import Dataset
from training.export.encoder import FORMATS, PYG, ExportError, export_encoder, runtime
from training.export.runtimes import Run, torchscript
from training.export.serving_encoder import ServingEncoder
from training.models.recommender import Recommender
from training.models.sage_only import model_of
from training.sage.term import SageTerm
from training.terms.protocol import find_term
from training.terms.trend import Trend

RUNTIMES = [name for name in FORMATS if name != PYG]
"""Formats that give vectors and scores; `tests/training/export/test_pyg.py` has the other."""
ITEM_IDS = [f"item {row}" for row in range(LOG.num_items)]
DATASET = Dataset(
    log=LOG,
    item_ids=ITEM_IDS,
    item_keys=np.arange(LOG.num_items) + 100,
    catalogue=Catalogue([], [], [], np.empty(0, np.float32), np.arange(LOG.num_items) != 3),
)


@pytest.fixture(scope="module")
def model() -> Recommender:
    return model_of(term_of(), DATASET, model_version="m1", as_of=5, repeats=True, encoder=None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_every_format_gives_the_scores_of_the_model(model: Recommender, tmp_path: Path) -> None:
    """Read by the runtimes themselves, for numbers of shoppers and events that no export has seen."""
    files = export_encoder(model, tmp_path / "out", formats=RUNTIMES)
    histories = LOG.histories(np.arange(7))
    items = newest_first(histories, 11)
    term = find_term(model.terms, SageTerm)
    expected = term.score(histories, as_of=0)[:, :, 0].numpy()
    script = torch.jit.load(tmp_path / "out" / "encoder.ts")
    program = torch.export.load(tmp_path / "out" / "encoder.pt2").module()
    session = onnxruntime.InferenceSession(tmp_path / "out" / "encoder.onnx", providers=["CPUExecutionProvider"])
    found = [script(items)[1].numpy(), program(items)[1].numpy(), session.run(["scores"], {"items": items.numpy()})[0]]
    for scores in found:
        np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert [file.format for file in files] == RUNTIMES
    assert all(0 <= file.largest_difference < 1e-5 for file in files)
    assert (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]

    told = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert told["model_version"] == "m1"
    assert told["outputs"]["scores"]["shape"] == ["shoppers", LOG.num_items]
    for file in told["files"]:
        content = (tmp_path / "out" / file["file"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["bytes"] == len(content)
    items_told = json.loads((tmp_path / "out" / "items.json").read_text())
    assert items_told["item_ids"] == ITEM_IDS
    assert [row for row, there in enumerate(items_told["available"]) if not there] == [3]


def test_a_file_that_differs_is_an_error_and_leaves_nothing(
    model: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_slightly_wrong(encoder: ServingEncoder, path: Path) -> Run:
        encoder.bias += 0.001
        return torchscript(encoder, path)

    monkeypatch.setitem(FORMATS, "torchscript", runtime("encoder.ts", write_slightly_wrong))
    with pytest.raises(ExportError, match=r"encoder\.ts differs from model m1 by 0\.001"):
        export_encoder(model, tmp_path / "out", formats=["torchscript"])
    assert list(tmp_path.iterdir()) == []
    export_encoder(model, tmp_path / "out", formats=["torchscript"], tolerance=0.01)


def test_what_cannot_be_exported_is_told(model: Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportError, match=f"no format tflite: there are {', '.join(FORMATS)}"):
        export_encoder(model, tmp_path / "out", formats=["tflite"])
    with pytest.raises(ExportError, match="no pyg: its graph, the snapshot that m1 was made of, is not kept"):
        export_encoder(model, tmp_path / "out", formats=["torchscript", "pyg"])
    with pytest.raises(AlreadyExists, match="name a new directory"):
        export_encoder(model, tmp_path, formats=["torchscript"])
    trend = Trend.fit(LOG)
    names = trend.feature_names
    ones, none = tuple(1.0 for _ in names), tuple(0.0 for _ in names)
    blend = replace(model.blend, feature_names=names, scale=ones, warm=ones, activity=none, unknown=ones)
    plain = Recommender(
        model_version="m0",
        kind="closed_form",
        as_of=5,
        repeats=True,
        item_ids=ITEM_IDS,
        item_keys=model.item_keys,
        available=model.available,
        terms=[trend],
        blend=Blend.from_json(blend.to_json()),
    )
    with pytest.raises(ExportError, match="m0 holds no GraphSAGE"):
        export_encoder(plain, tmp_path / "out", formats=["torchscript"])
    assert list(tmp_path.iterdir()) == []
