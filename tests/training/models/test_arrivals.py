"""Items that came after the training, in a toy world where their colour says whose they are."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from graphstore.catalogue import Item
from graphstore.tables import HOUR_MS
from tests.training.checkerboard import DAY_MS, checkerboard
from training.blend.fit import fit_blend
from training.config import SageConfig
from training.data.windows import Window
from training.features.items import ItemEncoder
from training.models import arrivals
from training.models.arrivals import EncodedItems, arrivals_of, catalogue_of, late_items
from training.models.bundle import save_bundle
from training.models.new_items import NewItems
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.sage.term import SageTerm
from training.terms.content import Content
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.protocol import Term
from training.terms.trend import Trend

LOG = checkerboard(num_users=60)
START = 5 * DAY_MS
COLOURS = ("white", "black")
TRAINED = np.arange(100, 100 + LOG.num_items)


def item(key: int, colour: str) -> Item:
    return Item(key, f"i{key}", title=f"{colour} square", categories=[colour], brand="Board", price=1.0)


ITEMS = [item(int(key), COLOURS[row % 2]) for row, key in enumerate(TRAINED)]


@cache
def trained(*names: str) -> Recommender:
    """A model of these terms. `copy` it before a change."""
    past = LOG.between(end=START)
    encoder = ItemEncoder.fit(catalogue_of(ITEMS), seed=0)
    features = encoder.transform(catalogue_of(ITEMS))
    config = SageConfig(dim=16, max_steps=60, batch_size=128, learning_rate=0.02)
    made: dict[str, Term] = {
        "filters": FilterBank([LinearFilter.fit(past)]),
        "trend": Trend.fit(past),
        "content": Content.of(features),
    }
    if "graphsage" in names:
        made["graphsage"] = fit_sage(past, features, config=config, options=TrainingOptions(seed=0))
    terms = [made[name] for name in names]
    return Recommender(
        model_version="m1",
        kind="graphsage",
        as_of=START,
        repeats=False,
        item_ids=[one.item_id for one in ITEMS],
        item_keys=TRAINED,
        available=np.ones(LOG.num_items, dtype=np.bool_),
        terms=terms,
        blend=fit_blend(terms, Window.cut(LOG, start=START, repeats=False)),
        encoder=encoder if {"content", "graphsage"} & {*names} else None,
    )


def history(colour: str, *, also: tuple[int, ...] = ()) -> list[tuple[int, int, int]]:
    """Six items of a colour, and others after them."""
    own = [one.item_key for one in ITEMS if one.categories == [colour]][:6]
    return [(key, START - 1000 + place, 3) for place, key in enumerate([*own, *also])]


def place_of(model: Recommender, key: int, past: list[tuple[int, int, int]]) -> int:
    rows, _ = model.rank_one(past, as_of=START, k=999)
    return model.item_keys[rows].tolist().index(key)


@pytest.mark.parametrize("names", [("filters", "trend", "content"), ("trend", "graphsage")])
def test_a_new_item_without_events_ranks_well_for_those_whom_it_fits(names: tuple[str, ...]) -> None:
    model = trained(*names).copy()
    model.extend(NewItems([item(900, "white"), item(901, "black")]))
    assert model.num_items == LOG.num_items + 2
    for colour, fits, other in (("white", 900, 901), ("black", 901, 900)):
        past = history(colour)
        others = [one.item_key for one in ITEMS if one.categories != [colour]]
        assert place_of(model, fits, past) < min(place_of(model, key, past) for key in (*others, other))


def test_a_new_item_does_not_come_before_what_its_kind_has_sold() -> None:
    """Its bias is that of items with few events: it begins neither as the most wanted nor as the least."""
    model = trained("trend", "graphsage").copy()
    model.extend(NewItems([item(900, "white")]))
    term = model.terms[-1]
    assert isinstance(term, SageTerm)
    bias = term.bias
    counts = np.bincount(LOG.between(end=START).items, minlength=LOG.num_items)
    rare = bias[: LOG.num_items][counts <= np.median(counts)]
    assert float(bias[-1]) == pytest.approx(float(rare.mean()))


def test_shoppers_tell_whose_a_new_item_without_features_is() -> None:
    """Nothing is known of the item itself, but white shoppers touched it."""
    model = trained("graphsage").copy()
    blank = Item(900, "i900")
    touched = [history("white", also=(900,)) for _ in range(8)]
    lift = []
    for histories in ([], touched):
        known = model.copy()
        known.extend(NewItems([blank], histories, ITEMS))
        row = np.array([known.num_items - 1])
        white, black = (known.rank_one(history(one), as_of=START, k=1, rows=row)[1][0] for one in COLOURS)
        lift.append(white - black)
    assert lift[1] > lift[0]


def test_the_trend_counts_new_items_after_the_next_refresh() -> None:
    model = trained("filters", "trend").copy()  # a closed-form model: it has no encoder
    assert model.encoder is None
    popular = tuple(float(name.startswith("trend")) for name in model.blend.feature_names)
    model.blend = replace(model.blend, unknown=popular)
    model.extend(NewItems([item(900, "white"), item(901, "white")]))
    assert place_of(model, 900, []) >= LOG.num_items - 2
    hour = np.array([START // HOUR_MS])
    model.refresh_trend(hour, np.array([901]), np.array([500]))
    assert place_of(model, 901, []) == 0


def test_an_item_of_the_training_stays_and_a_new_one_is_told_anew() -> None:
    model = trained("filters", "trend", "content").copy()
    before = model.rank_one(history("white"), as_of=START, k=5)
    model.extend(NewItems([item(int(TRAINED[0]), "black")]))
    after = model.rank_one(history("white"), as_of=START, k=5)
    assert [one.tolist() for one in before] == [one.tolist() for one in after]
    model.extend(NewItems([item(900, "black")]))
    kept = model.copy()
    model.extend(NewItems([item(900, "white"), item(901, "black")]))
    assert (model.num_trained, model.num_items, kept.num_items) == (LOG.num_items, LOG.num_items + 2, LOG.num_items + 1)
    assert model.item_ids[-2:] == ["i900", "i901"]
    assert place_of(model, 900, history("white")) < place_of(model, 901, history("white"))
    assert place_of(kept, 900, history("white")) >= 6  # after the six white ones that the shopper does not have


def test_a_new_item_that_cannot_be_bought_is_in_no_list() -> None:
    model = trained("filters", "trend").copy()
    model.extend(NewItems([Item(900, "i900", available=False)]))
    rows, _ = model.rank_one([], as_of=START, k=999)
    assert 900 not in model.item_keys[rows]
    similar, _ = model.similar(3)
    assert similar.shape == (LOG.num_items + 1, 3)


def test_histories_may_hold_new_items() -> None:
    model = trained("filters", "trend", "content").copy()
    model.extend(NewItems([item(900, "white")]))
    past = [(900, START - 5, 3)]
    rows, _ = model.rank_one(past, as_of=START, k=5)
    assert {int(row) % 2 for row in rows} == {0}  # all white


def test_an_extended_model_is_not_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = trained("filters", "trend").copy()
    model.extend(NewItems([item(900, "white")]))
    with pytest.raises(ValueError, match="only serves"):
        save_bundle(model, tmp_path, snapshot_id="s", parent=None, metrics={}, config={})


def test_late_items_keep_their_rows_and_added_ones_come_last() -> None:
    keys = np.array([5, 3, 20, 21])
    late = late_items([item(22, "x"), item(21, "x"), item(3, "x"), item(22, "x")], keys, num_trained=2)
    assert [one.item_key for one in late.items] == [21, 22]
    assert (late.rows.tolist(), late.num_added) == ([3, 4], 1)


def test_the_neighbourhood_becomes_pairs_of_items_that_have_features() -> None:
    keys = np.array([5, 3, 9])
    histories = [[(3, 1, 0), (9, 2, 0), (9, 3, 0), (77, 4, 0)], [(5, 1, 0), (9, 2, 0)]]
    new = NewItems([item(9, "x")], histories, [item(3, "x"), item(44, "x")])
    found = arrivals_of(new, keys, np.array([2]), rare=np.ones(2, dtype=np.bool_), encoded=None)
    assert found.neighbours.tolist() == [1]
    assert list(zip(found.users.tolist(), found.items.tolist(), strict=True)) == [(0, 0), (0, 1), (1, 0)]
    assert found.features is found.neighbour_features is None


def test_an_item_is_encoded_again_only_when_it_changed() -> None:
    asked: list[int] = []

    class Counting(ItemEncoder):
        def transform(self, catalogue):  # type: ignore[no-untyped-def]
            asked.append(len(catalogue.titles))
            return super().transform(catalogue)

    base = ItemEncoder.fit(catalogue_of(ITEMS), seed=0)
    encoded = EncodedItems(Counting(base.text, base.categories, base.brands, base.prices))
    both = [item(1, "white"), item(2, "black")]
    first = encoded.features(both)
    assert encoded.features(both).equal(first)
    changed = encoded.features([item(1, "black"), both[1]])
    assert asked == [2, 1]
    assert not changed[0].equal(first[0])
    assert encoded.features([]).shape == (0, base.width)


def test_the_memory_of_features_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "MAX_ENCODED", 2)
    encoded = EncodedItems(ItemEncoder.fit(catalogue_of(ITEMS), seed=0))
    one, two, three = (item(key, "white") for key in (1, 2, 3))
    encoded.features([one, two])
    assert len(encoded.features([one, three])) == 2
    assert len(encoded) == 2
    assert len(encoded.features([one, two, three])) == 3
