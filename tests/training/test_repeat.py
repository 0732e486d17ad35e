"""The personal repeat: own counts, decayed, and their share."""

from math import inf, log

import numpy as np
import pytest
import torch

from graphstore.tables import HOUR_MS
from tests.training.checkerboard import make_log
from training.histories import Histories
from training.repeat import PersonalRepeat
from training.terms import Term

LOG = make_log([(0, 0, 0), (0, 1, 160 * HOUR_MS)], num_users=1, num_items=3)
TWICE_AND_ONCE = Histories.from_rows([[(0, 0, 3), (0, 10 * HOUR_MS, 3), (2, 20 * HOUR_MS, 3)], []])


def test_counts_and_shares():
    term: Term = PersonalRepeat.fit(LOG, (10.0, inf))
    features = term.score(TWICE_AND_ONCE, as_of=20 * HOUR_MS)
    assert features.shape == (2, 3, len(term.feature_names))
    recent = [0.25 + 0.5, 0.0, 1.0]
    assert features[0, :, 0].tolist() == pytest.approx([log(1 + 100 * count) for count in recent])
    assert features[0, :, 1].tolist() == pytest.approx([log(1 + 100 * count) for count in (2, 0, 1)])
    assert features[0, :, 2].tolist() == pytest.approx([log(1 + 1000 * count / 1.75) for count in recent])
    assert features[0, :, 3].tolist() == pytest.approx([log(1 + 1000 * count / 3) for count in (2, 0, 1)])
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


def test_half_lives_follow_the_span_and_the_state_keeps_them():
    term = PersonalRepeat.fit(LOG)
    assert term.half_lives_hours == (40.0, 10.0, inf)
    again = PersonalRepeat.from_state(term.state())
    now = 21 * HOUR_MS
    assert torch.equal(again.score(TWICE_AND_ONCE, as_of=now), term.score(TWICE_AND_ONCE, as_of=now))


def test_each_shopper_at_a_moment_of_their_own():
    log = make_log([(0, 0, 0), (1, 1, HOUR_MS)], num_users=2, num_items=2)
    term = PersonalRepeat.fit(log, (5.0,))
    both = log.histories(np.arange(2))
    moments = np.array([10 * HOUR_MS, 3 * HOUR_MS])
    at_once = term.score(both, as_of=moments)
    for user, moment in enumerate(moments):
        torch.testing.assert_close(at_once[user], term.score(both, as_of=int(moment))[user])
    assert not torch.equal(at_once[0], term.score(both, as_of=int(moments[1]))[0])
