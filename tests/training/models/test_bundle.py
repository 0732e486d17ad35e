"""The bundle: the same model from the directory, and no other."""

import json

import numpy as np
import pytest
import torch

from graphstore.catalogue import Catalogue
from graphstore.errors import AlreadyExists
from tests.training.models.test_recommender import LOG, START, keyed, recommender
from training.features.items import ItemEncoder
from training.models.bundle import BundleError, load_bundle, save_bundle
from training.sage.term import SageTerm


def catalogue() -> Catalogue:
    return Catalogue(
        titles=[f"thing {row}" for row in range(LOG.num_items)],
        categories=[["halves", str(row % 2)] for row in range(LOG.num_items)],
        brands=["" for _ in range(LOG.num_items)],
        prices=np.full(LOG.num_items, 2.0, dtype=np.float32),
        available=np.ones(LOG.num_items, dtype=np.bool_),
    )


@pytest.fixture
def saved(tmp_path):
    model = recommender(repeats=True, sage=True, encoder=ItemEncoder.fit(catalogue(), seed=0))
    path = save_bundle(
        model, tmp_path / "models", snapshot_id="s1", parent="m0", metrics={"ndcg@20": 0.5}, config={"seed": 1}
    )
    return model, path


def test_the_same_lists_again(saved):
    model, path = saved
    again = load_bundle(path)
    assert path.name == again.model_version == "m1"
    for name in ("kind", "as_of", "repeats", "item_ids", "blend"):
        assert getattr(again, name) == getattr(model, name)
    assert (again.item_keys == model.item_keys).all()
    histories = model.histories([keyed(0, 2, 4), [], keyed(1)])
    ours, theirs = (m.recommend(histories, as_of=START, k=10) for m in (model, again))
    assert (ours[0] == theirs[0]).all()
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-6)
    assert (model.similar(4)[0] == again.similar(4)[0]).all()
    assert torch.equal(again.encoder.transform(catalogue()), model.encoder.transform(catalogue()))
    ours_sage, again_sage = (m.terms[-1] for m in (model, again))
    assert [evaluation.step for evaluation in ours_sage.evaluations] == [20]
    assert again_sage.evaluations == ours_sage.evaluations
    config = json.loads((path / "config.json").read_text())
    assert (config["snapshot_id"], config["parent"], config["training"]) == ("s1", "m0", {"seed": 1})
    assert json.loads((path / "metrics.json").read_text()) == {"ndcg@20": 0.5}


def test_a_term_of_the_time_before_looks_were_kept(saved):
    _, path = saved
    state = torch.load(path / "graphsage.pt", weights_only=True)
    settings = json.loads(state["settings"].numpy().tobytes())
    del settings["looks"]
    state["settings"] = torch.from_numpy(np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8).copy())
    assert SageTerm.from_state(state).evaluations == ()


def test_a_version_is_written_once(saved):
    model, path = saved
    with pytest.raises(AlreadyExists):
        save_bundle(model, path.parent, snapshot_id="s1", parent=None, metrics={}, config={})
    assert [entry.name for entry in path.parent.iterdir()] == ["m1"]


def test_what_was_changed_is_not_loaded(saved, tmp_path):
    _, path = saved
    blend = path / "blend.json"
    original = blend.read_bytes()
    blend.write_bytes(original.replace(b"1", b"2", 1))
    with pytest.raises(BundleError, match=r"blend\.json"):
        load_bundle(path)
    blend.write_bytes(original)
    (path / "extra.pt").write_bytes(b"")
    with pytest.raises(BundleError, match=r"extra\.pt"):
        load_bundle(path)
    (path / "extra.pt").unlink()
    (path / "trend.pt").unlink()
    with pytest.raises(BundleError, match="trend"):
        load_bundle(path)
    with pytest.raises(BundleError, match="no bundle"):
        load_bundle(tmp_path / "nothing")


def test_it_keeps_nothing_of_a_shopper(saved):
    """No tensor has as many rows as there are shoppers or events, so what a shop forgets is forgotten here."""
    _, path = saved
    for file in path.glob("*.pt"):
        for name, tensor in torch.load(file, weights_only=True).items():
            if isinstance(tensor, torch.Tensor) and tensor.ndim:
                assert tensor.shape[0] not in {LOG.num_users, len(LOG)}, (file.name, name)
