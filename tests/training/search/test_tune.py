"""Tuning: the default comes first, a study goes on where it stopped, and gains are told against the default."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine

from graphstore.session import write
from graphstore.snapshots.files import Snapshot
from tests.training import toy_shop
from tests.training.search.test_objective import CONFIG, snapshot_of
from training.options import FitEvaluation
from training.search.drawn_trial import TuningInterrupted, run_trial, trials_here
from training.search.objective import Objective
from training.search.tune import Amount, StudyError, evaluate_on_test, open_study, outcome, run_trials

pytestmark = pytest.mark.slow


@pytest.fixture
def snapshot(sqlite_engine: Engine, tmp_path: Path) -> Snapshot:
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=10)
    return snapshot_of(sqlite_engine, tmp_path / "snapshots")


@pytest.fixture
def objective(snapshot: Snapshot) -> Objective:
    return Objective.of(snapshot, config=CONFIG, seed=0)


@dataclass(frozen=True)
class Scripted(Objective):
    """A known answer: the nearer the learning rate is to 0.02, the better, from the first look on."""

    nan: bool = False
    evaluations: int = 5

    def ndcg(self, config, *, on_evaluation):
        worth = 1.0 - abs(math.log10(config.sage.learning_rate / 0.02))
        for step in range(2, 2 * self.evaluations + 1, 2):
            on_evaluation(FitEvaluation(step, math.nan if self.nan else 1.0, worth))
        return worth


def scripted(objective: Objective, **changes) -> Scripted:
    return Scripted(**{name: getattr(objective, name) for name in objective.__dataclass_fields__}, **changes)


def run(path: Path, objective: Objective, trials: int, *, stopped=lambda: False, **settings) -> list[tuple]:
    """The trials of the study that count, after so many more."""
    amount = Amount(trials, settings.pop("batch", 1), settings.pop("timeout_seconds", math.inf))
    arguments = {"progress": lambda _line, _share: None, "run": partial(trials_here, objective, stopped=stopped)}
    with open_study(path, objective) as study:
        with suppress(TuningInterrupted):
            run_trials(study, objective, amount, **(arguments | settings))
        return [
            (trial.user_attrs.get("shape"), trial.params, trial.value, trial.state, trial.intermediate_values)
            for trial in study.trials
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        ]


def test_the_default_is_judged_first_and_gains_are_told_against_it(objective, snapshot, tmp_path):
    rows = run(tmp_path / "study.db", objective, 5)
    assert [shape for shape, *_ in rows] == ["default", "choices", "baskets", "recent", None]
    with open_study(tmp_path / "study.db", objective) as study:
        tuned = outcome(study, objective)
        assert (tuned.finished, tuned.pruned) == (5, 0)
        values = [value for _, _, value, *_ in rows]
        assert tuned.validation == {"default": values[0], "best": max(values)}
        assert values[0] == objective.ndcg(objective.config, on_evaluation=lambda _: None)
        assert set(tuned.importances) <= set(objective.space.distributions)
        assert sum(tuned.importances.values()) == pytest.approx(1.0)
        steps = []
        measured = evaluate_on_test(study, objective, snapshot, tuned, progress=lambda line, _: steps.append(line))
        assert measured["users"] == 40
        assert measured["difference"] == pytest.approx(measured["best"] - measured["default"])
        assert steps
        again = evaluate_on_test(study, objective, snapshot, tuned, progress=lambda line, share: pytest.fail(line))
        assert again == measured


@pytest.mark.parametrize("batch", [1, 3])
def test_a_study_that_was_interrupted_comes_to_the_same(objective, tmp_path, batch):
    objective = scripted(objective)
    whole = run(tmp_path / "whole.db", objective, 8, batch=batch)
    evaluations = []

    def stopped() -> bool:
        evaluations.append(None)
        return len(evaluations) % 13 == 0  # in the middle of a trial, another one each time

    parts: list[tuple] = []
    calls = 0
    while len(parts) < 8:
        parts = run(tmp_path / "parts.db", objective, 8 - len(parts), batch=batch, stopped=stopped)
        calls += 1
    assert calls > 3
    assert parts == whole
    assert whole != run(tmp_path / "other.db", replace(objective, seed=1), 8, batch=batch)


def test_a_batch_comes_to_the_same_in_any_order(objective, tmp_path):
    """Its trials are drawn and judged by what ended before it, so it is no matter which of them ends first."""
    objective = scripted(objective)

    def backwards(tasks, _report):
        for task in reversed(list(tasks)):
            yield task, run_trial(objective, task)

    rows = run(tmp_path / "study.db", objective, 20, batch=5)
    assert rows == run(tmp_path / "backwards.db", objective, 20, batch=5, run=backwards)
    assert TrialState.PRUNED in {state for *_, state, _ in rows}
    alone = run(tmp_path / "alone.db", objective, 20)
    assert rows[:6] == alone[:6]  # results decide only later draws
    assert rows != alone
    parts = [run(tmp_path / "parts.db", objective, trials, batch=5) for trials in (1, 3, 7, 9)]
    assert parts[-1] == rows  # a call may end in the middle of a batch


def test_a_call_that_was_killed_loses_the_trial_in_hand(objective, tmp_path):
    path = tmp_path / "study.db"
    with open_study(path, objective) as study:
        study.enqueue_trial(objective.space.params(), user_attrs={"shape": "default"})
        study.ask(objective.space.distributions)  # and then the process dies
    with open_study(path, objective) as study:
        assert [trial.state for trial in study.trials] == [TrialState.FAIL]
        study.enqueue_trial(objective.space.params(), user_attrs={"shape": "default"})  # and here it dies again
    rows = run(path, scripted(objective), 2)
    assert [shape for shape, *_ in rows] == ["default", "choices"]


def test_draws_find_what_is_better_and_stop_what_is_worse(objective, tmp_path):
    objective = scripted(objective)
    rows = run(tmp_path / "study.db", objective, 20)
    with open_study(tmp_path / "study.db", objective) as study:
        tuned = outcome(study, objective)
        assert tuned.validation["best"] > tuned.validation["default"] + 0.2
        assert tuned.changes["sage"]["learning_rate"] == pytest.approx(0.02, rel=0.4)
    stopped = [params["learning_rate"] for _, params, _, state, _ in rows if state == TrialState.PRUNED]
    kept = [params["learning_rate"] for _, params, _, state, _ in rows if state == TrialState.COMPLETE]
    assert stopped
    assert rows[0][3] == TrialState.COMPLETE

    def distance(rate: float) -> float:
        return abs(math.log10(rate / 0.02))

    assert sorted(map(distance, stopped))[len(stopped) // 2] > sorted(map(distance, kept))[len(kept) // 2]


def test_what_mattered_comes_first(objective, tmp_path):
    objective = scripted(objective, evaluations=0)  # nothing to end a trial early by
    run(tmp_path / "study.db", objective, 3)
    with open_study(tmp_path / "study.db", objective) as study:
        assert outcome(study, objective).importances == {}  # too few to say
    run(tmp_path / "study.db", objective, 24)
    with open_study(tmp_path / "study.db", objective) as study:
        assert next(iter(outcome(study, objective).importances)) == "learning_rate"


@pytest.mark.parametrize("apart", [0.0, 1e-13])
def test_nothing_mattered_where_all_trials_are_worth_the_same(objective, tmp_path, apart):
    @dataclass(frozen=True)
    class Flat(Scripted):
        def ndcg(self, config, *, on_evaluation):
            return 0.5 + apart * config.sage.learning_rate

    flat = Flat(**{name: getattr(objective, name) for name in objective.__dataclass_fields__})
    run(tmp_path / "study.db", flat, 5)
    with open_study(tmp_path / "study.db", objective) as study:
        tuned = outcome(study, objective)
    assert (tuned.finished, tuned.importances) == (5, {})


def test_a_loss_that_is_no_number_ends_the_trial(objective, tmp_path):
    rows = run(tmp_path / "study.db", scripted(objective, nan=True), 2)
    assert [state for *_, state, _ in rows] == [TrialState.PRUNED] * 2
    with open_study(tmp_path / "study.db", objective) as study, pytest.raises(StudyError, match="more trials"):
        outcome(study, objective)


def test_no_trial_begins_after_the_timeout(objective, tmp_path):
    ticks = iter(range(100))
    rows = run(tmp_path / "study.db", scripted(objective), 10, timeout_seconds=4, clock=lambda: float(next(ticks)))
    assert len(rows) == 3


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"config": CONFIG.model_copy(update={"blend_l2": 0.5})}],
    ids=["seed", "penalty"],
)
def test_a_file_holds_a_study_for_each_start(snapshot, objective, tmp_path, other):
    path = tmp_path / "study.db"
    run(path, scripted(objective), 2)
    another = Objective.of(snapshot, **({"config": CONFIG, "seed": 0} | other))
    assert len(run(path, scripted(another), 1)) == 1
    assert len(run(path, scripted(objective), 0)) == 2


def test_files_that_are_no_study_or_in_use(objective, tmp_path):
    path = tmp_path / "study.db"
    path.write_text("years of work " * 100)
    with pytest.raises(StudyError, match="is no study"), open_study(path, objective):
        pass
    assert path.read_text().startswith("years of work")
    path = tmp_path / "other.db"
    with open_study(path, objective), pytest.raises(StudyError, match="another call"), open_study(path, objective):
        pass


def test_a_trial_that_fails_is_run_again(objective, tmp_path):
    @dataclass(frozen=True)
    class Failing(Scripted):
        def ndcg(self, config, *, on_evaluation):
            raise MemoryError

    failing = Failing(**{name: getattr(objective, name) for name in objective.__dataclass_fields__})
    with pytest.raises(MemoryError):
        run(tmp_path / "study.db", failing, 1)
    assert run(tmp_path / "study.db", failing, 0) == []
    objective = scripted(objective)
    assert run(tmp_path / "study.db", objective, 2) == run(tmp_path / "other.db", objective, 2)
