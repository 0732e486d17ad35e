"""The recommender: keys in, rows and scores out."""

import numpy as np
import pytest
import torch

from graphstore.arrays import LARGEST_SCORE
from graphstore.tables import HOUR_MS
from tests.training.checkerboard import DAY_MS, checkerboard
from training.blend.fit import fit_blend
from training.config import SageConfig
from training.data.windows import Window
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.fit import fit_sage
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter
from training.terms.repeat import PersonalRepeat
from training.terms.trend import Trend

LOG = checkerboard()
START = 5 * DAY_MS
KEYS = np.random.default_rng(1).permutation(np.arange(100, 100 + LOG.num_items))


def recommender(*, repeats: bool = False, sage: bool = False, **changes) -> Recommender:
    past = LOG.between(end=START)
    terms = [FilterBank([LinearFilter.fit(past)]), Trend.fit(past)]
    if repeats:
        terms.append(PersonalRepeat.fit(past))
    if sage:
        config = SageConfig(dim=8, max_steps=20, batch_size=64, learning_rate=0.02)
        terms.append(fit_sage(past, torch.ones(LOG.num_items, 1), config=config, options=TrainingOptions(seed=0)))
    window = Window.cut(LOG, start=START, repeats=repeats)
    settings = {
        "model_version": "m1",
        "kind": "closed_form",
        "as_of": START,
        "repeats": repeats,
        "item_ids": [f"i{key}" for key in KEYS],
        "item_keys": KEYS,
        "available": np.ones(LOG.num_items, dtype=np.bool_),
        "terms": terms,
        "blend": fit_blend(terms, window),
    }
    return Recommender(**(settings | changes))


def keyed(*rows: int, time: int = DAY_MS) -> list[tuple[int, int, int]]:
    return [(int(KEYS[row]), time + place, 3) for place, row in enumerate(rows)]


def test_histories_are_sorted_and_know_only_known_items():
    model = recommender()
    per_user = [[(int(KEYS[4]), 30, 3), (7, 20, 0), (int(KEYS[2]), 10, 1)], [], keyed(5)]
    histories = model.histories(per_user)
    assert histories.offsets.tolist() == [0, 2, 2, 3]
    assert histories.items.tolist() == [2, 4, 5]
    assert histories.times.tolist() == [10, 30, DAY_MS]
    assert histories.types.tolist() == [1, 3, 3]
    assert len(model.histories([])) == 0


def test_each_half_gets_its_own():
    model = recommender()
    rows, scores = model.recommend(model.histories([keyed(0, 2, 4), keyed(1, 3)]), as_of=START, k=8)
    assert (rows[0] % 2 == 0).all()
    assert (rows[1] % 2 == 1).all()
    assert not set(rows[0]) & {0, 2, 4}
    assert (np.diff(scores, axis=1) <= 0).all()
    assert np.isfinite(scores.astype(np.float16)).all()


def test_repeats_allow_the_known():
    model = recommender(repeats=True)
    rows, _ = model.recommend(model.histories([keyed(0, 2)]), as_of=START, k=LOG.num_items)
    assert set(rows[0]) == set(range(LOG.num_items))


def test_unavailable_items_are_left_out_and_short_lists_padded():
    available = np.zeros(LOG.num_items, dtype=np.bool_)
    available[[0, 2, 6]] = True
    model = recommender(available=available)
    rows, scores = model.recommend(model.histories([keyed(0)]), as_of=START, k=4)
    assert set(rows[0, :2]) == {2, 6}
    assert rows[0, 2:].tolist() == [-1, -1]
    assert scores[0, 2:].tolist() == [-np.inf, -np.inf]
    similar, _ = model.similar(5)
    assert set(similar[similar >= 0]) <= {0, 2, 6}


def test_a_cold_gets_the_trend():
    model = recommender()
    rows, scores = model.recommend(model.histories([[]]), as_of=START, k=3)
    trend = next(term for term in model.terms if isinstance(term, Trend))
    weights = model.blend.weights(np.array([0]))[0, len(model.terms[0].feature_names) :]
    expected = trend.features_at(as_of=START) @ weights
    assert scores[0].tolist() == pytest.approx(expected.sort(descending=True).values[:3].tolist(), abs=1e-5)
    assert (rows >= 0).all()


def test_scores_fit_half_precision_and_nan_is_an_error():
    huge = recommender()
    huge.blend = fit_blend(huge.terms, Window.cut(LOG, start=START, repeats=False))
    object.__setattr__(huge.blend, "warm", tuple(1e9 * weight for weight in huge.blend.warm))
    _, scores = huge.recommend(huge.histories([keyed(0, 2, 4)]), as_of=START, k=3)
    assert abs(scores).max() <= LARGEST_SCORE
    object.__setattr__(huge.blend, "warm", tuple(np.nan for _ in huge.blend.warm))
    with pytest.raises(FloatingPointError, match="m1"):
        huge.recommend(huge.histories([keyed(0, 2, 4)]), as_of=START, k=3)


@pytest.mark.parametrize("options", [{}, {"repeats": True}, {"repeats": True, "sage": True}])
@pytest.mark.parametrize("rows", [(), (0,), (3, 5, 3), range(LOG.num_items)])
def test_one_history_is_ranked_as_among_many(options, rows):
    model = recommender(**options, available=np.arange(LOG.num_items) != 8)
    history = keyed(*rows)
    many, expected = model.recommend(model.histories([history]), as_of=START, k=9)
    found, scores = model.rank_one(history, as_of=START, k=9)
    known = many[0] >= 0
    assert len(found) == known.sum()
    np.testing.assert_allclose(scores, expected[0, known], atol=1e-4)
    np.testing.assert_allclose(scores, model.score(model.histories([history]), as_of=START)[0, found], atol=1e-4)


def test_one_history_is_ranked_among_what_is_allowed():
    model = recommender(repeats=True)
    history = keyed(0, 2)
    everything = set(range(LOG.num_items))

    def listed(**options):
        return set(model.rank_one(history, as_of=START, k=LOG.num_items, **options)[0].tolist())

    assert listed() == everything
    assert listed(known=False) == everything - {0, 2}
    assert listed(known=True) == {0, 2}
    assert listed(rows=np.array([5, 0, 9])) == {0, 5, 9}
    mask = np.zeros(LOG.num_items, dtype=np.bool_)
    mask[[3, 5]] = True
    assert listed(mask=mask) == {3, 5}
    assert listed(mask=mask, rows=np.array([5, 9])) == {5}
    assert listed(mask=~mask, known=True) == {0, 2}
    assert len(model.rank_one(history, as_of=START, k=0)[0]) == 0
    assert {0, 2} & set(recommender().rank_one(history, as_of=START, k=99)[0].tolist()) == set()


def test_one_history_that_scores_nan_is_an_error():
    model = recommender()
    object.__setattr__(model.blend, "warm", tuple(np.nan for _ in model.blend.warm))
    with pytest.raises(FloatingPointError, match="m1"):
        model.rank_one(keyed(0, 2, 4), as_of=START, k=3)


def test_what_can_be_bought_now_counts_at_once_and_only_in_this_copy():
    model = recommender(repeats=True)
    sold_out = model.copy()
    sold_out.set_available(np.isin(np.arange(LOG.num_items), [3, 7]))
    assert set(sold_out.rank_one(keyed(0), as_of=START, k=9)[0].tolist()) == {3, 7}
    rows, _ = sold_out.recommend(sold_out.histories([keyed(0)]), as_of=START, k=9)
    assert set(rows[rows >= 0].tolist()) == {3, 7}
    similar, _ = sold_out.similar(5)
    assert set(similar[similar >= 0].tolist()) <= {3, 7}
    assert len(model.rank_one(keyed(0), as_of=START, k=9)[0]) == 9
    with pytest.raises(ValueError, match="2 flags for 24 items"):
        model.set_available(np.ones(2, dtype=np.bool_))


def test_item_vectors_are_those_of_similar_items():
    assert recommender().item_vectors() is None
    vectors = recommender(sage=True).item_vectors()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("sage", [True, False])
def test_similar_items_are_of_the_same_half(sage):
    model = recommender(sage=sage)
    rows, scores = model.similar(3)
    assert rows.shape == scores.shape == (LOG.num_items, 3)
    own = np.arange(LOG.num_items)[:, None]
    assert (rows != own).all()
    known = rows >= 0
    assert np.mean((rows % 2 == own % 2)[known]) > 0.95


def test_the_refreshed_trend_moves_the_list_and_the_clock():
    model = recommender()
    cold = model.histories([[]])
    late = START + 30 * DAY_MS
    before, _ = model.recommend(cold, as_of=late, k=LOG.num_items)
    sold = int(KEYS[before[0, LOG.num_items // 2]])
    hours = np.array([START // HOUR_MS, START // HOUR_MS])
    model.refresh_trend(hours, np.array([sold, 7]), np.array([1_000, 5]))
    after, _ = model.recommend(cold, as_of=late, k=LOG.num_items)
    trend = next(term for term in model.terms if isinstance(term, Trend))
    assert trend.features_at(as_of=START)[before[0, LOG.num_items // 2], -1] == pytest.approx(
        np.log1p(1_000 + 3), abs=0.5
    )
    assert before.tolist() != after.tolist()


def test_a_copy_is_refreshed_alone():
    model = recommender()
    trend = next(term for term in model.terms if isinstance(term, Trend))
    before = trend.features_at(as_of=START).clone()
    copied = model.copy()
    copied.refresh_trend(np.array([START // HOUR_MS]), KEYS[:1], np.array([1_000]))
    histories = model.histories([[]])
    later = START + DAY_MS
    assert not torch.equal(copied.score(histories, as_of=later), model.score(histories, as_of=later))
    assert torch.equal(trend.features_at(as_of=START), before)


def test_a_closed_shop_forgets_nothing():
    model = recommender(repeats=True)
    histories = model.histories([keyed(0, 2, 4)])
    rows, scores = model.recommend(histories, as_of=START, k=5)
    later_rows, later_scores = model.recommend(histories, as_of=START + 3_000 * DAY_MS, k=5)
    assert (rows == later_rows).all()
    assert (scores == later_scores).all()


def test_in_another_item_order():
    model = recommender()
    theirs = np.concatenate([[7], np.sort(KEYS)[::-1], [8]])
    histories = LOG.histories(np.arange(6), before=START)
    rows = {int(key): row for row, key in enumerate(theirs)}
    translated = type(histories)(
        offsets=histories.offsets,
        items=np.array([rows[int(KEYS[item])] for item in histories.items]),
        times=histories.times,
        types=histories.types,
    )
    scores = model.aligned_scorer(theirs)(translated, as_of=START)
    own = model.score(histories, as_of=START)
    torch.testing.assert_close(scores[:, [rows[int(key)] for key in KEYS]], own)
    assert torch.isneginf(scores[:, [0, -1]]).all()
