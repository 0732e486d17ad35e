"""The personal repeat: own counts, decayed, and their share."""

from math import inf, log

import numpy as np
import pytest
import torch

from graphstore.tables import HOUR_MS
from tests.training.checkerboard import joined, make_log
from training.data.event_log import Histories
from training.terms.repeat import PRIOR_BUYERS, PersonalRepeat, repeat_rates

LOG = make_log([(0, 0, 0), (0, 1, 160 * HOUR_MS)], num_users=1, num_items=3)
TWICE_AND_ONCE = Histories.from_rows([[(0, 0, 3), (0, 10 * HOUR_MS, 3), (2, 20 * HOUR_MS, 3)], []])


def test_counts_and_shares():
    term = PersonalRepeat.fit(LOG, (10.0, inf))
    features = term.score(TWICE_AND_ONCE, as_of=20 * HOUR_MS)
    assert features.shape == (2, 3, len(term.feature_names))
    recent = [0.25 + 0.5, 0.0, 1.0]
    assert features[0, :, 0].tolist() == pytest.approx([log(1 + 100 * count) for count in recent])
    assert features[0, :, 1].tolist() == pytest.approx([log(1 + 100 * count) for count in (2, 0, 1)])
    assert features[0, :, 2].tolist() == pytest.approx([log(1 + 1000 * count / 1.75) for count in recent])
    assert features[0, :, 3].tolist() == pytest.approx([log(1 + 1000 * count / 3) for count in (2, 0, 1)])
    assert not features[0, 1].any()
    assert not features[1].any()


def test_after_a_very_long_time_the_share_still_stands():
    features = PersonalRepeat((1.0,)).score(Histories.from_rows([[]]), as_of=0)
    assert features.shape == (1, 0, 2)
    term = PersonalRepeat.fit(LOG, (1.0,))
    features = term.score(TWICE_AND_ONCE, as_of=5_000 * HOUR_MS)
    assert torch.isfinite(features).all()


def test_an_event_after_as_of_counts_as_new_not_as_more_than_one():
    features = PersonalRepeat.fit(LOG, (1.0,)).score(TWICE_AND_ONCE, as_of=0)
    assert features[0, 2, 0] == pytest.approx(log(101))


def test_half_lives_follow_the_span():
    assert PersonalRepeat.fit(LOG).half_lives_hours == (40.0, 10.0, inf)


def test_each_shopper_at_a_moment_of_their_own():
    log = make_log([(0, 0, 0), (1, 1, HOUR_MS)], num_users=2, num_items=2)
    term = PersonalRepeat.fit(log, (5.0,))
    both = log.histories(np.arange(2))
    times = np.array([10 * HOUR_MS, 3 * HOUR_MS])
    at_once = term.score(both, as_of=times)
    for user, time in enumerate(times):
        torch.testing.assert_close(at_once[user], term.score(both, as_of=int(time))[user])
    assert not torch.equal(at_once[0], term.score(both, as_of=int(times[1]))[0])


# Thirty take milk (0) in three weeks, thirty a pan (1) once, two of them with two events at one time; 2 is never sold.
MILK_AND_PANS = make_log(
    sorted(
        [(user, 0, week * HOUR_MS) for user in range(30) for week in range(3)]
        + [(user, 1, HOUR_MS) for user in range(30)]
        + [(user, 1, HOUR_MS) for user in range(2)],
        key=lambda row: row[2],
    ),
    num_users=30,
    num_items=3,
)


def test_rates_tell_milk_from_pans_and_shrink_what_few_bought():
    rates = repeat_rates(MILK_AND_PANS)
    average = np.array([(30 + 0.5) / 61, (60 + 0.5) / 61])
    milk = (np.array([30, 60]) + PRIOR_BUYERS * average) / (30 + PRIOR_BUYERS)
    pan = PRIOR_BUYERS * average / (30 + PRIOR_BUYERS)
    for row, (again, times) in ((0, milk), (1, pan), (2, average), (3, average)):
        assert rates[row].tolist() == pytest.approx([log(again / (1 - again)), log(times)], rel=1e-5)


def test_rates_stand_beside_what_is_known_and_the_average_for_items_that_come_later():
    term = PersonalRepeat.fit(MILK_AND_PANS)
    term.update(joined(MILK_AND_PANS, make_log([(0, 4, 9 * HOUR_MS)], num_users=1, num_items=5)))
    features = term.score(Histories.from_rows([[(0, 0, 3), (1, 0, 3), (4, 0, 3)]]), as_of=HOUR_MS)
    names = list(term.feature_names)
    again = features[0, :, names.index("repeat_again")]
    assert again[0] > again[4] > again[1]
    assert again[2] == again[3] == 0
    assert PersonalRepeat.counting(MILK_AND_PANS, (1.0,)).feature_names == ("repeat_count_0", "repeat_share_0")


def test_nobody_who_comes_again_gives_finite_rates():
    assert np.isfinite(repeat_rates(LOG)).all()
    assert np.isfinite(repeat_rates(make_log([], num_users=0, num_items=2))).all()


def test_a_model_of_before_there_were_rates_scores_as_it_did():
    old = PersonalRepeat.from_state(PersonalRepeat.counting(LOG, (10.0, inf)).state())
    new = PersonalRepeat.fit(LOG, (10.0, inf))
    assert old.feature_names == new.feature_names[:4]
    now = 21 * HOUR_MS
    assert torch.equal(old.score(TWICE_AND_ONCE, as_of=now), new.score(TWICE_AND_ONCE, as_of=now)[:, :, :4])
