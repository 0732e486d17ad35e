"""A model that a person promotes must load and have finite scores."""

import json
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest

from graphstore.files import sha256_of
from tests.training.models.test_recommender import recommender
from training.lifecycle.bundle_check import UnusableModel, check_bundle, score_bundle
from training.models.bundle import CHECKSUMS, BundleError, save_bundle
from training.options import ignore_progress


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(recommender(repeats=True), tmp_path, snapshot_id="s1", parent=None, metrics={}, config={})


def with_weights(bundle: Path, weight: float) -> Path:
    """The bundle with other weights of the blend, and right checksums."""

    def replaced(value: Any) -> Any:
        return [replaced(one) if isinstance(one, list) else weight for one in value]

    blend = bundle / "blend.json"
    content = json.loads(blend.read_text())
    lists = {name: replaced(value) for name, value in content.items() if name in ("warm", "cold") and value}
    assert lists, content
    blend.write_text(json.dumps(content | lists))
    sums = json.loads((bundle / CHECKSUMS).read_text())
    (bundle / CHECKSUMS).write_text(json.dumps(sums | {"blend.json": sha256_of(blend)}))
    return bundle


def test_a_whole_model_passes(bundle):
    check_bundle(bundle)  # in a process of its own
    score_bundle(bundle, ignore_progress)


@pytest.mark.parametrize("weight", [nan, inf, 1e300])
def test_a_model_without_finite_scores_is_refused(bundle, weight):
    with pytest.raises(UnusableModel, match="are not finite"):
        score_bundle(with_weights(bundle, weight), ignore_progress)


def test_a_damaged_bundle_is_refused(bundle, tmp_path):
    with pytest.raises(BundleError):
        score_bundle(tmp_path / "none", ignore_progress)
    (bundle / "blend.json").write_text("{}")
    with pytest.raises(UnusableModel, match=f"{bundle.name} cannot serve: .* is not what was saved"):
        check_bundle(bundle)
