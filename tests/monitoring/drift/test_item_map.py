"""The item map: where the champion places items, and what is said without one."""

import numpy as np
import pytest
from sqlalchemy import insert

from graphstore.session import read, write
from graphstore.tables import models
from monitoring.drift.item_map import ChampionMap, ItemMap, NoItemMap, load_item_map, main_directions


def test_the_first_direction_is_that_of_the_largest_variance():
    rng = np.random.default_rng(1)
    vectors = rng.normal(0, [1.0, 20.0, 1.0, 5.0], (300, 4))
    along = main_directions(vectors, axes=2)
    for axis, source in enumerate((1, 3)):
        assert abs(np.corrcoef(along[:, axis], vectors[:, source])[0, 1]) > 0.99


def test_unknown_items_have_no_coordinates():
    found = ItemMap("m1", {"apple": 1, "nut": 0}, np.array([[1.0], [2.0]])).of(["apple", "cheese", "nut"])
    assert found[[0, 2], 0].tolist() == [2.0, 1.0]
    assert np.isnan(found[1, 0])
    assert np.isnan(ItemMap("m1", {}, np.empty((0, 3))).of(["apple"])).all()


def test_a_bundle_without_embeddings_is_said(tmp_path):
    (tmp_path / "m1").mkdir()
    with pytest.raises(NoItemMap, match="m1 has no embeddings"):
        load_item_map(tmp_path / "m1")
    with pytest.raises(NoItemMap, match="m2 is not on this machine"):
        load_item_map(tmp_path / "m2")
    (tmp_path / "m1" / "graphsage.pt").write_text("")
    with pytest.raises(NoItemMap, match="cannot be read: no bundle at"):
        load_item_map(tmp_path / "m1")


def test_without_a_champion_there_is_no_map(sqlite_shop, tmp_path):
    champion = ChampionMap()
    with read(sqlite_shop.engine) as connection, pytest.raises(NoItemMap, match="no champion"):
        champion.read(connection)
    model = {"model_version": "m1", "kind": "closed_form", "status": "champion", "snapshot_id": "s1"}
    with write(sqlite_shop.engine) as connection:
        connection.execute(insert(models).values(bundle=str(tmp_path / "m1"), created_at=1, **model))
    with read(sqlite_shop.engine) as connection, pytest.raises(NoItemMap, match="m1 is not on this machine"):
        champion.read(connection)
