"""Statistics of users and items: the right numbers, of the training window alone, and the same for later nodes."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphstore.hashing import hashed
from graphstore.snapshots.eventlog import EVENT
from graphstore.snapshots.graph import INTERACTS, Stores, make_graph
from graphstore.snapshots.statistics import (
    COUNTED,
    DAY_MS,
    ITEM_COLUMNS,
    PROFILE_DIM,
    USER_COLUMNS,
    StatisticsEncoder,
    training_end,
)
from graphstore.tables import EVENT_TYPES

NONE = float("nan")
CATEGORIES = [["food"], ["food", "fish"], [], ["garden"]]
ITEMS = np.arange(len(CATEGORIES))

Touch = tuple[int, int, int, str, float]
"""user, item, day, type, value"""


def graph_of(touches: list[Touch]) -> Stores:
    rows = [
        (key, user, item, day * DAY_MS, value, NONE, EVENT_TYPES.index(kind))
        for key, (user, item, day, kind, value) in enumerate(sorted(touches, key=lambda touch: touch[2]))
    ]
    return make_graph(np.array(rows, dtype=EVENT), np.empty((0, 2), dtype=np.int64), ITEMS)[0]


def everything(stores: Stores) -> torch.Tensor:
    return torch.ones(stores[INTERACTS]["edge_time"].numel(), dtype=torch.bool)


def raw(scaled: torch.Tensor, encoder: StatisticsEncoder, node: str) -> dict[str, list[float]]:
    """The columns before they were standardised, by name."""
    scale = getattr(encoder, node)
    names = USER_COLUMNS if node == "user" else ITEM_COLUMNS
    columns = scaled[:, : len(names)].double() * scale.deviation + scale.mean
    return dict(zip(names, columns.T.tolist(), strict=True))


WORLD: list[Touch] = [
    (1, 0, 1, "view", NONE),
    (1, 0, 2, "purchase", 9.0),
    (1, 1, 3, "rating", 5.0),
    (1, 1, 3, "rating", 2.0),
    (1, 1, 3, "rating", NONE),
    (2, 0, 8, "purchase", 9.0),
    (3, 3, 9, "cart", NONE),
]


def test_counts_ratings_and_recency_are_what_happened() -> None:
    stores = graph_of(WORLD)
    encoder = StatisticsEncoder.fit(stores, everything(stores), as_of=10 * DAY_MS)
    user, item = encoder.transform(stores, everything(stores), CATEGORIES, as_of=10 * DAY_MS)
    assert user.shape == (3, len(USER_COLUMNS) + PROFILE_DIM)
    assert item.shape == (4, len(ITEM_COLUMNS))
    users, items = raw(user, encoder, "user"), raw(item, encoder, "item")
    assert users["view"] == pytest.approx(np.log1p([1, 0, 0]), abs=1e-6)
    assert users["purchase"] == pytest.approx(np.log1p([1, 1, 0]), abs=1e-6)
    assert users["rating"] == pytest.approx(np.log1p([3, 0, 0]), abs=1e-6)
    assert users["recency"] == pytest.approx(np.log1p([7, 2, 1]), abs=1e-6)
    assert users["mean rating"] == pytest.approx([3.5] * 3)  # one has ratings, so they have no spread
    assert items["purchase"] == pytest.approx(np.log1p([2, 0, 0, 0]), abs=1e-6)
    assert items["recency"][:2] == pytest.approx(np.log1p([2, 7]), abs=1e-6)
    assert items["recency"][2] == pytest.approx(np.log1p([2, 7, 1]).mean(), abs=1e-6)  # never touched: the mean
    known = user[:, : len(USER_COLUMNS)]
    assert known.mean(dim=0).abs().max() < 1e-6
    assert set(known.std(dim=0, correction=0).round(decimals=4).tolist()) == {0.0, 1.0}


def test_ratings_are_means_of_what_was_given() -> None:
    stores = graph_of([*WORLD, (2, 1, 9, "rating", 1.0)])
    encoder = StatisticsEncoder.fit(stores, everything(stores), as_of=10 * DAY_MS)
    user, _ = encoder.transform(stores, everything(stores), CATEGORIES, as_of=10 * DAY_MS)
    assert raw(user, encoder, "user")["mean rating"] == pytest.approx([3.5, 1.0, 2.25], abs=1e-6)


def test_the_profile_is_the_categories_of_what_was_taken() -> None:
    stores = graph_of(WORLD)
    encoder = StatisticsEncoder.fit(stores, everything(stores), as_of=10 * DAY_MS)
    user, _ = encoder.transform(stores, everything(stores), CATEGORIES, as_of=10 * DAY_MS)
    profile, shelves = user[:, len(USER_COLUMNS) :], hashed(CATEGORIES, PROFILE_DIM)
    assert torch.allclose(profile[1], shelves[0])
    assert torch.allclose(profile[2], shelves[3])
    both = 2 * shelves[0] + 3 * shelves[1]
    assert torch.allclose(profile[0], both / both.norm(), atol=1e-6)
    bare = encoder.transform(stores, everything(stores), [[]] * 4, as_of=10 * DAY_MS)[0]
    assert not bare[:, len(USER_COLUMNS) :].any()


kinds = st.sampled_from(COUNTED)
touches = st.lists(
    st.tuples(
        st.integers(0, 4), st.sampled_from(ITEMS.tolist()), st.integers(0, 9), kinds, st.sampled_from([NONE, 1.0, 5.0])
    ),
    max_size=25,
)


@given(past=touches, future=touches)
def test_what_comes_after_the_training_window_changes_nothing(past: list[Touch], future: list[Touch]) -> None:
    later = [(user, item, day + 20, kind, value) for user, item, day, kind, value in future]
    # Users of the future alone are nodes of their own: they come last.
    stores = graph_of([*past, *((user + 10, *rest) for user, *rest in later)])  # type: ignore[misc]
    alone = graph_of(past)
    mask = stores[INTERACTS]["edge_time"] < 20 * DAY_MS
    ours = StatisticsEncoder.fit(stores, mask, as_of=20 * DAY_MS)
    theirs = StatisticsEncoder.fit(alone, everything(alone), as_of=20 * DAY_MS)
    for name, part in ours.state().items():
        assert torch.equal(part, theirs.state()[name]), name
    user, item = ours.transform(stores, mask, CATEGORIES, as_of=20 * DAY_MS)
    expected = theirs.transform(alone, everything(alone), CATEGORIES, as_of=20 * DAY_MS)
    assert torch.equal(user[: len(expected[0])], expected[0])
    assert torch.equal(item, expected[1])
    assert torch.isfinite(user).all()
    assert torch.isfinite(item).all()


def test_a_fitted_encoder_is_applied_unchanged_to_nodes_that_come_later() -> None:
    stores = graph_of(WORLD)
    encoder = StatisticsEncoder.fit(stores, everything(stores), as_of=10 * DAY_MS)
    grown = graph_of([*WORLD, *((4, 2, 9, "purchase", 1.0) for _ in range(50))])
    before, _ = encoder.transform(stores, everything(stores), CATEGORIES, as_of=10 * DAY_MS)
    after, items = encoder.transform(grown, everything(grown), CATEGORIES, as_of=10 * DAY_MS)
    assert torch.equal(after[:3], before)
    assert raw(after, encoder, "user")["purchase"][3] == pytest.approx(np.log1p(50), abs=1e-5)
    assert raw(items, encoder, "item")["purchase"][2] == pytest.approx(np.log1p(50), abs=1e-5)


def test_the_state_comes_back_without_pickle() -> None:
    stores = graph_of(WORLD)
    encoder = StatisticsEncoder.fit(stores, everything(stores), as_of=10 * DAY_MS)
    file = io.BytesIO()
    torch.save(encoder.state(), file)
    file.seek(0)
    again = StatisticsEncoder.from_state(torch.load(file, weights_only=True))
    for ours, theirs in zip(
        *(e.transform(stores, everything(stores), CATEGORIES, as_of=11 * DAY_MS) for e in (encoder, again)), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_the_window_ends_where_validation_begins() -> None:
    stores = graph_of([(1, 0, day, "view", NONE) for day in range(10)])
    assert training_end(stores, as_of=50 * DAY_MS) == 8 * DAY_MS
    empty: dict[Any, Any] = graph_of([])
    assert training_end(empty, as_of=50 * DAY_MS) == 50 * DAY_MS
    encoder = StatisticsEncoder.fit(empty, everything(empty), as_of=0)
    user, item = encoder.transform(empty, everything(empty), CATEGORIES, as_of=0)
    assert user.shape == (0, len(USER_COLUMNS) + PROFILE_DIM)
    assert not item.any()
