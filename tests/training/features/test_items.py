"""Item features: a row depends on its item alone, and means the same for items that come later."""

import io
import subprocess
import sys

import numpy as np
import pytest
import torch

from graphstore.catalogue import Catalogue
from training.features.items import ItemEncoder, fit_item_encoder

ITEMS = [
    *[(f"pasta {i}", ["food", "pasta"], "Casa", 1.0 + i) for i in range(6)],
    *[(f"garden chair {i}", ["garden", "chairs"], "Verde", 50.0 + 10 * i) for i in range(6)],
    ("mystery", [], "", np.nan),
    ("", ["food"], "Casa", 3.0),
]


def make_catalogue(items: list[tuple[str, list[str], str, float]]) -> Catalogue:
    titles, categories, brands, prices = zip(*items, strict=True) if items else ((), (), (), ())
    return Catalogue(
        titles=list(titles),
        categories=list(categories),
        brands=list(brands),
        prices=np.array(prices, dtype=np.float32),
        available=np.ones(len(items), dtype=np.bool_),
    )


@pytest.fixture
def encoder() -> ItemEncoder:
    return ItemEncoder.fit(make_catalogue(ITEMS), text_dim=4, seed=0)


def test_shape_and_finite(encoder):
    rows = encoder.transform(make_catalogue(ITEMS))
    assert rows.shape == (len(ITEMS), encoder.width)
    assert rows.dtype == torch.float32
    assert torch.isfinite(rows).all()


def test_a_row_depends_on_its_item_alone(encoder):
    rows = encoder.transform(make_catalogue(ITEMS))
    backwards = encoder.transform(make_catalogue(ITEMS[::-1]))
    assert torch.equal(rows, backwards.flip(0))
    assert torch.equal(encoder.transform(make_catalogue(ITEMS[3:4])), rows[3:4])


def test_an_equal_seed_gives_equal_features(encoder):
    again = ItemEncoder.fit(make_catalogue(ITEMS), text_dim=4, seed=0)
    assert torch.equal(again.transform(make_catalogue(ITEMS)), encoder.transform(make_catalogue(ITEMS)))


def test_prices_are_relative_to_the_narrowest_category(encoder):
    price = encoder.transform(make_catalogue(ITEMS))[:, -5]
    assert price[:6].mean() == pytest.approx(0, abs=1e-6)
    assert price[6:12].mean() == pytest.approx(0, abs=1e-6)
    assert price[:6].std(correction=0) == pytest.approx(1, abs=1e-5)
    assert price[12] == 0  # unknown
    # "food" has seven prices of its own, so the item with that category alone is measured against them.
    logs = np.log1p(np.array([1, 2, 3, 4, 5, 6, 3.0]))
    assert price[13] == pytest.approx((np.log1p(3) - logs.mean()) / logs.std(), abs=1e-5)


def test_an_extreme_price_is_bounded(encoder):
    rows = encoder.transform(make_catalogue([("pasta", ["food", "pasta"], "Casa", 1e9)]))
    assert rows[0, -5] == 3.0


def test_what_is_missing_is_flagged(encoder):
    flags = encoder.transform(make_catalogue(ITEMS))[:, -4:]
    assert not flags[:12].any()
    assert flags[12].tolist() == [0, 1, 1, 1]
    assert flags[13].tolist() == [1, 0, 0, 0]


def test_new_brands_have_their_places_and_move_nothing_else(encoder):
    ours, theirs = encoder.transform(
        make_catalogue([("pasta", ["food", "pasta"], "Nuova", 2.0), ("pasta", ["food", "pasta"], "Altra", 2.0)])
    )
    assert 1 <= (ours != theirs).sum() <= 2


def test_the_state_comes_back_without_pickle(encoder):
    file = io.BytesIO()
    torch.save(encoder.state(), file)
    file.seek(0)
    again = ItemEncoder.from_state(torch.load(file, weights_only=True))
    assert torch.equal(again.transform(make_catalogue(ITEMS)), encoder.transform(make_catalogue(ITEMS)))


def test_an_empty_catalogue():
    encoder = ItemEncoder.fit(make_catalogue([]), seed=0)
    assert encoder.transform(make_catalogue([])).shape == (0, encoder.width)
    assert torch.isfinite(encoder.transform(make_catalogue(ITEMS))).all()


def test_what_the_training_window_does_not_know_changes_nothing():
    rows = np.array([3, 0, 1, 2, 3, 4])
    ours = fit_item_encoder(make_catalogue(ITEMS), rows)
    theirs = fit_item_encoder(make_catalogue([*ITEMS[:5], *[(f"balm {i}", ["x"], "y", 1e6) for i in range(7)]]), rows)
    assert torch.equal(ours.transform(make_catalogue(ITEMS)), theirs.transform(make_catalogue(ITEMS)))
    wider = fit_item_encoder(make_catalogue(ITEMS), np.arange(12))
    assert wider.text.words != ours.text.words
    assert wider.prices != ours.prices


def test_one_hot_columns_are_apart_and_a_later_name_has_none():
    encoder = ItemEncoder.fit(make_catalogue(ITEMS), name_encoding="one-hot", text_dim=4, category_dim=4, seed=0)
    assert encoder.categories.vocabulary == ["chairs", "food", "garden", "pasta"]
    start = encoder.text.dim
    known, new = encoder.transform(make_catalogue([ITEMS[0], ("lamp", ["light"], "Luce", 3.0)]))
    assert (known[start : start + 4] > 0).tolist() == [False, True, False, True]
    assert not new[start : start + 4 + encoder.brands.dim].any()
    assert encoder.transform(make_catalogue(ITEMS)).shape == (len(ITEMS), encoder.width)


def test_a_state_of_the_time_when_names_were_only_hashed(encoder):
    state = {**encoder.state(), "category_dim": 64, "brand_dim": 32}
    older = {name: value for name, value in state.items() if name not in {"categories", "brands"}}
    again = ItemEncoder.from_state(older)
    assert torch.equal(again.transform(make_catalogue(ITEMS)), encoder.transform(make_catalogue(ITEMS)))


@pytest.mark.slow
def test_loading_an_encoder_loads_no_dictionary_and_no_sentence_transformer(encoder, tmp_path):
    """A process that only scores pays for neither."""
    torch.save(encoder.state(), tmp_path / "encoder.pt")
    program = f"""
import sys, torch
from training.features.items import ItemEncoder
ItemEncoder.from_state(torch.load({str(tmp_path / "encoder.pt")!r}, weights_only=True))
print(sorted({{"simplemma", "sklearn", "sentence_transformers", "transformers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
