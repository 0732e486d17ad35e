"""Bundle: the directory `models/<model_version>/` with everything that a model needs to recommend.

Arrives: a fitted model. Leaves: a directory, and a `Recommender` loaded from it. Next: `serving.publisher` scores every
user with it, `serving.nearline` one user at a time.

A bundle is written to a temporary name and then renamed, so a directory with the final name is complete. Loading
verifies the SHA-256 sums of all files. A bundle holds no pickled objects and no data about single users.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphstore.errors import AlreadyExists, UserError
from graphstore.files import sha256_of, written_whole
from training.blend.blend import Blend
from training.features.items import ItemEncoder
from training.models.recommender import Recommender
from training.sage.term import SageTerm
from training.terms.als import AlsTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.habit.term import Habit
from training.terms.protocol import Term
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

TERMS: dict[str, type[Term]] = {
    term.name: term for term in (FilterBank, Trend, PersonalRepeat, Habit, AlsTerm, Content, SageTerm)
}
"""All terms that a bundle may hold, by file name."""

CHECKSUMS = "checksums.json"


class BundleError(UserError):
    """The directory is no complete bundle. The message tells the reason."""


def save_bundle(
    recommender: Recommender,
    directory: Path,
    *,
    snapshot_id: str,
    parent: str | None,
    metrics: dict[str, float],
    config: dict[str, Any],
) -> Path:
    """Write `directory / model_version` and return it. Raises `AlreadyExists` when the version exists already.

    `config` is the training configuration and `metrics` the evaluation result. A recommendation needs neither.
    """
    if recommender.num_items != recommender.num_trained:
        raise ValueError(f"{recommender.model_version} was extended with later items: it only serves")
    path = directory / recommender.model_version
    if path.exists():
        raise AlreadyExists(f"{path} exists: a model version is written once")
    with written_whole(path) as temporary:
        temporary.mkdir(parents=True)
        for term in recommender.terms:
            torch.save(term.state(), temporary / f"{term.name}.pt")
        if recommender.encoder is not None:
            torch.save(recommender.encoder.state(), temporary / "encoder.pt")
        _dump(
            temporary / "config.json",
            {
                "model_version": recommender.model_version,
                "kind": recommender.kind,
                "as_of": recommender.as_of,
                "repeats": recommender.repeats,
                "terms": [term.name for term in recommender.terms],
                "snapshot_id": snapshot_id,
                "parent": parent,
                "training": config,
            },
        )
        _dump(
            temporary / "items.json",
            {
                "item_ids": recommender.item_ids,
                "item_keys": recommender.item_keys.tolist(),
                "available": recommender.available.tolist(),
            },
        )
        _dump(temporary / "blend.json", recommender.blend.to_json())
        _dump(temporary / "metrics.json", metrics)
        _dump(temporary / CHECKSUMS, {file.name: sha256_of(file) for file in sorted(temporary.iterdir())})
    return path


def load_bundle(path: Path) -> Recommender:
    """Load the model in the directory. Raises `BundleError` when a file is missing, changed or unexpected."""
    expected = _checksums(path)
    found = {file.name for file in path.iterdir()} - {CHECKSUMS}
    if found != expected.keys():
        raise BundleError(f"{path} holds {sorted(found)}, its checksums name {sorted(expected)}")
    for name, digest in expected.items():
        _check(path / name, digest)
    config = json.loads((path / "config.json").read_text())
    items = json.loads((path / "items.json").read_text())
    unknown = [name for name in config["terms"] if name not in TERMS]
    if unknown:
        raise BundleError(f"{path} holds terms that this version does not know: {unknown}")
    encoder = path / "encoder.pt"
    return Recommender(
        model_version=config["model_version"],
        kind=config["kind"],
        as_of=config["as_of"],
        repeats=config["repeats"],
        item_ids=items["item_ids"],
        item_keys=np.array(items["item_keys"], dtype=np.int64),
        available=np.array(items["available"], dtype=np.bool_),
        terms=[TERMS[name].from_state(_load(path / f"{name}.pt")) for name in config["terms"]],
        blend=Blend.from_json(json.loads((path / "blend.json").read_text())),
        encoder=ItemEncoder.from_state(_load(encoder)) if encoder.exists() else None,
    )


def snapshot_of(path: Path) -> str:
    """Return the name of the snapshot that the model in the directory was made of. Raises `BundleError`."""
    return _named(path, "snapshot_id")


def version_of(path: Path) -> str:
    """Return the version of the model in the directory, without loading it. Raises `BundleError`."""
    return _named(path, "model_version")


def _named(path: Path, field: str) -> str:
    expected, config = _checksums(path), path / "config.json"
    if not config.exists():
        raise BundleError(f"no bundle at {path}")
    _check(config, expected.get(config.name))
    name: str = json.loads(config.read_text())[field]
    return name


def _checksums(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of the bundle, by its name."""
    if not (path / CHECKSUMS).exists():
        raise BundleError(f"no bundle at {path}")
    expected: dict[str, str] = json.loads((path / CHECKSUMS).read_text())
    return expected


def _check(file: Path, digest: str | None) -> None:
    if sha256_of(file) != digest:
        raise BundleError(f"{file} is not what was saved")


def _load(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False))
