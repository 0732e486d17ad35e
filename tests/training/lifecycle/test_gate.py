"""The gate: what promotes, what keeps, what serves instead, and that chance does none of it."""

import json

import numpy as np
import pytest

from training.evaluation.ranking import METRIC, Evaluation
from training.lifecycle.gate import Contestants, Evidence, decide

ALPHA = 0.05
RNG = np.random.default_rng(0)
CHAMPION = RNG.uniform(size=200) * (RNG.uniform(size=200) < 0.5)
POPULARITY = CHAMPION * 0.5


def evaluation(ndcg, *, finite=True) -> Evaluation:
    ndcg = np.asarray(ndcg, dtype=np.float64)
    return Evaluation(
        users=np.arange(len(ndcg)),
        cold=np.zeros(len(ndcg), dtype=bool),
        per_user={METRIC: ndcg},
        coverage=0.5,
        finite=finite,
    )


def contest(challenger, *, champion=CHAMPION, popularity=POPULARITY, anchor=None) -> Contestants:
    return Contestants(
        challenger=challenger if isinstance(challenger, Evaluation) else evaluation(challenger),
        popularity=evaluation(popularity),
        champion=None if champion is None else evaluation(champion),
        anchor=None if anchor is None else evaluation(anchor),
    )


def judged(contestants, change="structural", evidence=None, **options):
    return decide(contestants, change, evidence=evidence or Evidence(), alpha=ALPHA, **options)


def noisy(mean: float, users: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return mean + np.where(rng.random(users) < 0.3, rng.choice([-0.3, 0.3], users), 0.0)


# structural


def test_a_structural_change_that_is_shown_to_be_better_is_promoted():
    decision = judged(contest(CHAMPION + 0.05))
    assert (decision.verdict, decision.action) == ("promoted", "promote")
    assert "+0.0500" in decision.reasons[0]


@pytest.mark.parametrize("gain", [0.0, -0.01, 0.0001])
def test_equal_behind_or_hardly_ahead_is_kept(gain):
    decision = judged(contest(CHAMPION + gain))
    assert (decision.verdict, decision.action) == ("kept", "keep")
    assert "not shown to be better" in decision.reasons[0]


def test_the_evidence_for_the_same_change_is_pooled_over_windows():
    evidence, tries = Evidence(), 0
    while (decision := judged(contest(CHAMPION + noisy(0.02, 200, tries)), evidence=evidence)).verdict == "kept":
        evidence = Evidence.from_json(json.loads(json.dumps(decision.evidence.to_json())))
        tries += 1
        assert tries < 20
    assert tries > 0  # one window was not enough


def test_a_hundred_tries_with_what_is_no_better_promote_nothing():
    evidence = Evidence()
    for seed in range(100):
        decision = judged(contest(CHAMPION + noisy(0.0, 200, seed)), evidence=evidence)
        assert decision.verdict == "kept"
        evidence = decision.evidence


def test_a_window_counts_although_something_is_against_the_challenger():
    decision = judged(contest(CHAMPION - 0.2), objections=["lists cover too little"])
    assert decision.evidence.gain.windows == 1
    assert decision.evidence.gain.log_e_value < 0


# refresh


@pytest.mark.parametrize("gain", [0.01, 0.0, -0.0001])
def test_a_refresh_is_promoted_unless_it_is_shown_to_harm(gain):
    decision = judged(contest(CHAMPION + gain), "refresh")
    assert decision.verdict == "promoted"
    assert "no harm shown" in decision.reasons[0]


def test_a_refresh_that_is_worse_beyond_chance_in_its_window_is_kept():
    decision = judged(contest(CHAMPION - 0.05, popularity=POPULARITY - 1), "refresh")
    assert (decision.verdict, decision.action) == ("kept", "keep")
    assert "worse beyond chance" in decision.reasons[0]
    assert decision.evidence.harm.windows == 0


def test_a_chain_of_losses_that_no_window_shows_ends_at_the_anchor():
    evidence, step, action = Evidence(), 0.012, ""
    for window in range(1, 30):
        anchor = CHAMPION + noisy(0, 200, window)
        champion = anchor - step * (window - 1)
        decision = judged(
            contest(champion - noisy(step, 200, 100 + window), champion=champion, anchor=anchor, popularity=anchor - 2),
            "refresh",
            evidence,
        )
        evidence, action = decision.evidence, decision.action
        if action == "anchor":
            break
    assert window > 3
    assert evidence.harm.windows > 1
    assert action == "anchor"
    assert decision.verdict == "kept"
    assert "last full model" in decision.reasons[0]


def test_a_lineage_that_is_no_worse_goes_on():
    evidence = Evidence()
    for seed in range(100):
        decision = judged(contest(CHAMPION + noisy(0.0, 200, seed), popularity=POPULARITY - 1), "refresh", evidence)
        assert decision.action in {"promote", "keep"}
        evidence = decision.evidence


# popularity


@pytest.mark.parametrize("change", ["structural", "refresh"])
@pytest.mark.parametrize("users", [5, 200])
def test_nothing_below_popularity_is_promoted(change, users):
    ahead = CHAMPION[:users] + 0.3
    decision = judged(contest(ahead, champion=CHAMPION[:users], popularity=ahead + 0.001), change)
    assert decision.verdict == "kept"
    assert "against recent popularity" in decision.reasons[0]


@pytest.mark.parametrize("users", [0, 5, 200])
def test_the_first_model_below_popularity_leaves_the_place_to_it(users):
    behind = judged(contest(CHAMPION[:users] - 0.01, champion=None, popularity=CHAMPION[:users]))
    assert (behind.verdict, behind.action) == ("kept", "popularity")
    assert "popularity serves" in behind.reasons[-1]


def test_the_first_model_that_is_not_below_popularity_is_promoted():
    decision = judged(contest(CHAMPION[:5], champion=None, popularity=CHAMPION[:5]))
    assert (decision.verdict, decision.action) == ("promoted", "promote")
    broken = judged(contest(evaluation(CHAMPION, finite=False), champion=None))
    assert (broken.verdict, broken.action) == ("kept", "popularity")
    assert "finite" in broken.reasons[0]


def test_popularity_serves_where_the_champion_is_shown_to_be_below_it():
    decision = judged(contest(CHAMPION - 0.2, popularity=CHAMPION + 0.2), "refresh")
    assert (decision.verdict, decision.action) == ("kept", "popularity")
    better = judged(contest(CHAMPION + 0.3, popularity=CHAMPION + 0.2))  # a model that is above both
    assert (better.verdict, better.action) == ("promoted", "promote")


def test_a_model_must_win_against_popularity_that_serves():
    no_better = judged(contest(CHAMPION, champion=CHAMPION, popularity=CHAMPION), popularity_serves=True)
    assert (no_better.verdict, no_better.action) == ("kept", "popularity")
    assert no_better.evidence.behind.windows == 0
    better = judged(contest(CHAMPION + 0.1, champion=CHAMPION, popularity=CHAMPION), popularity_serves=True)
    assert better.action == "promote"


# what is against a challenger


@pytest.mark.parametrize("change", ["structural", "refresh"])
def test_objections_and_scores_that_are_not_finite_keep(change):
    objected = judged(contest(CHAMPION + 0.1), change, objections=["lists cover too little"])
    assert (objected.verdict, objected.reasons) == ("kept", ["lists cover too little"])
    broken = judged(contest(evaluation(CHAMPION + 0.1, finite=False)), change)
    assert (broken.verdict, broken.reasons) == ("kept", ["some scores are not finite"])


def test_the_users_must_be_the_same():
    with pytest.raises(ValueError, match="same users"):
        judged(contest(CHAMPION, champion=CHAMPION[:-1], popularity=CHAMPION))


@pytest.mark.parametrize("change", ["structural", "refresh"])
def test_an_empty_window_keeps(change):
    assert judged(contest([], champion=[], popularity=[]), change).verdict == "kept"
