"""Fitting: on a checkerboard every shopper's best new item is of the shopper's own colour."""

import numpy as np
import pytest
import torch

from tests.training.checkerboard import DAY_MS, checkerboard, make_log
from training.config import SageConfig
from training.data.event_log import EventLog
from training.data.windows import Window
from training.options import FitEvaluation, TrainingOptions
from training.sage.fit import NothingToLearn, fit_sage
from training.sage.term import SageTerm

LOG = checkerboard()
CONFIG = SageConfig(
    dim=16, half_lives_ranks=(2.0, float("inf")), batch_size=64, learning_rate=0.02, max_steps=60, evaluate_every=10
)
SEED_0 = TrainingOptions(seed=0)
NO_FEATURES = torch.zeros(LOG.num_items, 0)


def share_of_own_colour(term: SageTerm, log: EventLog) -> float:
    """The share of users whose best item that they never bought has their own colour."""
    users = np.arange(log.num_users)
    histories = log.histories(users)
    scores = term.score(histories, as_of=int(log.times[-1]) + 1)[:, :, 0]
    scores[torch.from_numpy(histories.rows()), torch.from_numpy(histories.items)] = -torch.inf
    return float(np.mean(scores.argmax(dim=1).numpy() % 2 == users % 2))


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "softmax"},
        {"loss": "bce"},
        {"loss": "bpr"},
        {"aggregation": "max"},
        {"aggregation": "lstm"},
        {"decoder": "dot"},
        {"decoder": "mlp"},
    ],
    ids=lambda settings: next(iter(settings.values())),
)
def test_the_best_new_item_is_of_the_own_colour(settings):
    config = CONFIG.model_copy(update={"repeats": False, **settings})
    assert share_of_own_colour(fit_sage(LOG, NO_FEATURES, config=config, options=SEED_0), LOG) == 1.0


def test_a_shopper_never_seen_gets_the_own_colour_too():
    term = fit_sage(LOG, NO_FEATURES, config=CONFIG.model_copy(update={"repeats": False}), options=SEED_0)
    cold = make_log([(0, 5, DAY_MS), (0, 9, 2 * DAY_MS)], num_users=1, num_items=LOG.num_items)
    scores = term.score(cold.histories(np.array([0])), as_of=3 * DAY_MS)[0, :, 0]
    scores[[5, 9]] = -torch.inf
    assert set((scores.topk(6).indices % 2).tolist()) == {1}


def test_features_alone_carry_an_item_without_events():
    """Items 24 and 25 have no event, only their colour as a feature."""
    log = make_log(
        list(zip(LOG.users.tolist(), LOG.items.tolist(), LOG.times.tolist(), strict=True)), num_users=40, num_items=26
    )
    features = torch.nn.functional.one_hot(torch.arange(26) % 2).float()
    term = fit_sage(log, features, config=CONFIG, options=SEED_0)
    cosines = term.item_embeddings @ term.item_embeddings.T
    assert term.model.item_bias[24:].tolist() == pytest.approx([term.model.item_bias[:24].mean().item()] * 2)
    assert not term.model.item_id[24:].any()
    for item in (24, 25):
        assert cosines[item, item % 2 : 24 : 2].mean() > cosines[item, 1 - item % 2 : 24 : 2].mean() + 0.2


def test_equal_seeds_give_equal_weights_and_leave_the_global_generator_alone():
    config = CONFIG.model_copy(update={"max_steps": 10})
    torch.manual_seed(99)
    ours = fit_sage(LOG, NO_FEATURES, config=config, options=TrainingOptions(seed=1)).state()
    drawn = torch.rand(1)
    theirs = fit_sage(LOG, NO_FEATURES, config=config, options=TrainingOptions(seed=1)).state()
    other = fit_sage(LOG, NO_FEATURES, config=config, options=TrainingOptions(seed=2)).state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(ours["embeddings"], other["embeddings"])
    torch.manual_seed(99)
    assert torch.equal(drawn, torch.rand(1))


def test_a_validation_window_stops_the_fit_early_and_keeps_the_best():
    cut = 5 * DAY_MS
    evaluations: list[tuple[str, float]] = []
    term = fit_sage(
        LOG.between(end=cut),
        NO_FEATURES,
        config=CONFIG.model_copy(update={"patience": 2, "max_steps": 500, "repeats": False}),
        options=TrainingOptions(seed=0, progress=lambda line, share: evaluations.append((line, share))),
        validation=Window.cut(LOG, start=cut, repeats=False),
    )
    steps = len(evaluations) * CONFIG.evaluate_every
    assert steps < 500
    assert term.steps == steps - 2 * CONFIG.evaluate_every
    ndcgs = [float(line.split()[-1]) for line, _ in evaluations]
    assert ndcgs.index(max(ndcgs)) == term.steps // CONFIG.evaluate_every - 1
    assert [share for _, share in evaluations] == sorted(share for _, share in evaluations)


def test_the_story_of_the_fit_is_kept_past_its_best_look():
    cut = 5 * DAY_MS
    settings = {"patience": 2, "max_steps": 45, "repeats": False}
    heard: list[FitEvaluation] = []
    term = fit_sage(
        LOG.between(end=cut),
        NO_FEATURES,
        config=CONFIG.model_copy(update=settings),
        options=TrainingOptions(seed=0, on_evaluation=heard.append),
        validation=Window.cut(LOG, start=cut, repeats=False),
    )
    assert list(term.evaluations) == heard
    assert [evaluation.step for evaluation in heard] == [10, 20, 30, 40, 45][: len(heard)]
    assert max(heard, key=lambda evaluation: evaluation.ndcg).step == term.steps
    assert heard[-1].loss < heard[0].loss
    assert SageTerm.from_state(term.state()).evaluations == term.evaluations
    alone = fit_sage(LOG, NO_FEATURES, config=CONFIG.model_copy(update={"max_steps": 12}), options=SEED_0)
    assert [(evaluation.step, evaluation.ndcg) for evaluation in alone.evaluations] == [(10, None), (12, None)]


def test_who_hears_of_a_look_may_end_the_fit():
    class Enough(Exception):
        pass

    def hear(evaluation: FitEvaluation) -> None:
        if evaluation.step == 20:
            raise Enough

    with pytest.raises(Enough):
        fit_sage(LOG, NO_FEATURES, config=CONFIG, options=TrainingOptions(seed=0, on_evaluation=hear))


def test_without_a_validation_window_all_steps_are_taken():
    assert fit_sage(LOG, NO_FEATURES, config=CONFIG.model_copy(update={"max_steps": 7}), options=SEED_0).steps == 7


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="rows of features"):
        fit_sage(LOG, torch.zeros(3, 2), config=CONFIG, options=SEED_0)
    with pytest.raises(NothingToLearn, match="past"):
        fit_sage(
            make_log([(0, 1, 5)], num_users=1, num_items=2),
            torch.zeros(2, 0),
            config=CONFIG,
            options=SEED_0,
        )
