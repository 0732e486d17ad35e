"""Runs end to end on the toy shop, in SQL."""

import shutil
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine, delete, func, insert, select, update

from graphstore import tables
from graphstore.config import GraphstoreConfig
from graphstore.session import read, write
from graphstore.snapshots.files import load_snapshot
from tests.training import toy_shop
from training.config import SageConfig, TrainingConfig
from training.data.dataset import TooFewEvents
from training.lifecycle import registry
from training.lifecycle.heartbeat import DIED
from training.lifecycle.run import RESUMED, RunSpec, run_training
from training.lifecycle.run_result import RunFenced, RunResult
from training.models.bundle import load_bundle
from training.models.recommender import Recommender
from training.options import TrainingOptions, ignore_progress
from training.sage.term import SageTerm
from training.terms.protocol import find_term
from training.terms.trend import Trend

CONFIG = TrainingConfig(sage=SageConfig(dim=8, max_steps=15, batch_size=128, learning_rate=0.02))


@pytest.fixture
def shop(engine: Engine, tmp_path: Path):
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=10)

    def train(
        kind, *, trigger="command line", seed=0, progress=ignore_progress, run_id=None, resume=False, **settings
    ) -> RunResult:
        with read(engine) as connection:
            closing = toy_shop.closing_time(connection)
        spec = RunSpec(kind, trigger, run_id=run_id, resume=resume)
        arguments = {"graph": GraphstoreConfig(state_dir=tmp_path), "config": CONFIG, "now": lambda: closing}
        options = TrainingOptions(seed=seed, progress=progress)
        return run_training(engine, spec, options=options, **(arguments | settings))

    return train


def test_the_first_champion(shop, engine: Engine):
    seen = []
    result = shop("closed_form", progress=lambda line, share: seen.append((line, share)))
    assert result.verdict == "promoted"
    assert result.parent is None
    assert result.reasons[0] == "there was no champion"
    assert result.metrics["ndcg@20"] > result.comparison["recent_popularity"]["ndcg@20"]
    assert set(result.comparison) == {"recent_popularity", "linear_item_model", "personal_frequency"}
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    model = load_bundle(Path(result.bundle))
    with read(engine) as connection:
        champion = registry.champion(connection)
        run = registry.get_run(connection, result.run_id)
        assert model.as_of == toy_shop.closing_time(connection)
    assert champion is not None
    assert (champion.model_version, champion.bundle) == (model.model_version, result.bundle)
    assert champion.metrics == result.metrics
    assert champion.gate["verdict"] == "promoted"
    assert run is not None
    assert (run.status, run.model_version, run.snapshot_id) == ("promoted", result.model_version, result.snapshot_id)
    # The shopper's four favourites come first.
    keys = {int(key): row for row, key in enumerate(model.item_keys)}
    own = toy_shop.favourites(3)
    history = [(item + 1, model.as_of - 1000 * place, 3) for place, item in enumerate([*own, *own], start=1)]
    rows, _ = model.recommend(model.histories([history]), as_of=model.as_of, k=4)
    assert set(rows[0]) == {keys[item + 1] for item in own}


def test_a_challenger_that_is_no_better_is_kept(shop, engine: Engine):
    first = shop("closed_form")
    second = shop("closed_form")
    assert second.verdict == "kept"
    assert second.parent == first.model_version
    assert second.snapshot_id == first.snapshot_id
    with read(engine) as connection:
        assert [row.status for row in registry.list_models(connection)] == ["champion", "kept"]
    assert load_bundle(Path(second.bundle)).as_of < load_bundle(Path(first.bundle)).as_of  # it learned nothing more


@pytest.mark.slow
def test_graphsage_and_then_incremental(shop, engine: Engine):
    shop("closed_form")
    sage = shop("graphsage")
    assert "champion" in sage.comparison
    assert "graphsage" in [term.name for term in load_bundle(Path(sage.bundle)).terms]
    with write(engine) as connection:
        registry.promote(connection, sage.model_version, now=1)
        toy_shop.trade(connection, first_day=10, days=4)
    result = shop("incremental", trigger="new events")
    assert result.parent == sage.model_version
    assert result.kind == "incremental"
    assert result.verdict in {"promoted", "kept"}
    assert result.metrics["recall@20"] == 1.0
    assert load_bundle(Path(result.bundle)).encoder is not None


def test_a_run_happens_once(shop):
    result = shop("closed_form", run_id="r7")
    assert result.model_version == "m7"
    assert shop("closed_form", run_id="r7") == result


def test_a_failure_is_recorded_and_raised(shop, engine: Engine):
    with pytest.raises(registry.NoChampion, match="needs a champion"):
        shop("incremental", run_id="r1")
    with read(engine) as connection:
        run = registry.get_run(connection, "r1")
    assert run is not None
    assert run.status == "failed"
    assert run.error == "an incremental run needs a champion to start from: train another kind"
    with pytest.raises(RunFenced):
        shop("closed_form", run_id="r1")


class Killed(BaseException):
    """Like a kill: nothing of the run is written any more."""


def killed_at_its_second_look(line: str, _share: float) -> None:
    if line.startswith("GraphSAGE: step 10 "):
        raise Killed


PATIENT = CONFIG.model_copy(update={"sage": CONFIG.sage.model_copy(update={"evaluate_every": 5})})


def sage_of(result: RunResult) -> SageTerm:
    term = find_term(load_bundle(Path(result.bundle)).terms, SageTerm)
    assert term is not None
    return term


def steps_in(lines: list[str]) -> list[str]:
    return [line.split()[2] for line in lines if line.startswith("GraphSAGE: step")]


def checkpoints(directory: Path) -> list[Path]:
    return list((directory / "checkpoints").glob("*.pt"))


def test_a_run_that_was_killed_while_graphsage_learned_is_gone_on_with(shop, engine: Engine, tmp_path: Path):
    whole = shop("graphsage", config=PATIENT, graph=GraphstoreConfig(state_dir=tmp_path / "whole"))
    with write(engine) as connection:
        connection.execute(delete(tables.models))
    with pytest.raises(Killed):
        shop("graphsage", config=PATIENT, progress=killed_at_its_second_look)
    with write(engine) as connection:  # the shop stays open meanwhile
        toy_shop.trade(connection, first_day=10, days=1)
    seen: list[str] = []
    resumed = shop("graphsage", config=PATIENT, resume=True, progress=lambda line, _share: seen.append(line))
    assert steps_in(seen) == ["15"]
    assert resumed.snapshot_id == whole.snapshot_id
    assert resumed.metrics == whole.metrics
    assert RESUMED in resumed.reasons
    ours, theirs = sage_of(resumed).state(), sage_of(whole).state()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert checkpoints(tmp_path) == []
    with read(engine) as connection:  # what came since is not taken for known
        newest = connection.scalar(select(func.max(tables.interactions.c.interaction_key)))
        assert registry.last_seen_interaction(connection) < newest


@pytest.mark.parametrize(
    "cause",
    ["not asked", "another model", "too late", "a request", "other settings", "another seed", "no snapshot"],
)
def test_an_unfinished_fit_is_left_where_it_is_out_of_date(shop, engine: Engine, tmp_path: Path, cause):
    with pytest.raises(Killed):
        shop("graphsage", config=PATIENT, progress=killed_at_its_second_look)
    (file,) = checkpoints(tmp_path)
    old = file.name.partition(".")[0]
    with write(engine) as connection:
        toy_shop.trade(connection, first_day=10, days=1)
        closing = toy_shop.closing_time(connection)
        if cause == "a request":
            registry.request_retrain(connection, reason="drift", requested_by="monitor", now=closing)
    settings = {"config": PATIENT, "resume": True}
    match cause:
        case "not asked":
            settings["resume"] = False
        case "another model":
            shop("closed_form", resume=True)
            assert checkpoints(tmp_path) == [file]  # no affair of that kind of run
        case "too late":
            settings["config"] = PATIENT.model_copy(update={"retrain_full_seconds": 3600.0})
        case "other settings":
            settings["config"] = PATIENT.model_copy(update={"blend_l2": 0.5})
        case "another seed":
            settings["seed"] = 1
        case "no snapshot":
            shutil.rmtree(tmp_path / "snapshots" / old)
    seen: list[str] = []
    result = shop("graphsage", progress=lambda line, _share: seen.append(line), **settings)
    assert steps_in(seen) == ["5", "10", "15"]
    assert result.snapshot_id > old
    assert checkpoints(tmp_path) == []


def test_who_was_forgotten_since_is_not_learned_from(shop, engine: Engine, tmp_path: Path):
    with write(engine) as connection:
        closing = toy_shop.closing_time(connection)
    with pytest.raises(Killed):
        shop("graphsage", config=PATIENT, progress=killed_at_its_second_look)
    (snapshot,) = (tmp_path / "snapshots").glob("s*")
    with write(engine) as connection:  # killed before it came to the snapshots
        connection.execute(insert(tables.erasures).values(user_id="u3", requested_at=closing))
    seen: list[str] = []
    shop("graphsage", config=PATIENT, resume=True, progress=lambda line, _share: seen.append(line))
    assert steps_in(seen) == ["5", "10", "15"]
    assert "u3" not in load_snapshot(snapshot).user_ids


def test_a_run_that_was_declared_dead_counts_for_nothing(shop, engine: Engine):
    def declare_dead(line: str, _share: float) -> None:
        if line == "bundle":
            with write(engine) as connection:
                registry.finish_run(connection, "r1", status=registry.FAILED, now=5, error=DIED)

    with pytest.raises(RunFenced):
        shop("closed_form", run_id="r1", progress=declare_dead)
    with read(engine) as connection:
        assert registry.list_models(connection) == []
        run = registry.get_run(connection, "r1")
    assert run is not None
    assert (run.status, run.error) == (registry.FAILED, DIED)


def moved(engine: Engine, *, first_day: int, last_day: int, minutes: int = 0) -> None:
    """Sell these days' purchases at other times of the day: 0 minutes is a date without a clock time."""
    with write(engine) as connection:
        for day in range(first_day, last_day):
            start = toy_shop.OPENING + day * toy_shop.DAY_MS
            of_day = tables.interactions.c.event_time.between(start, start + toy_shop.DAY_MS - 1)
            connection.execute(update(tables.interactions).where(of_day).values(event_time=start + minutes * 60_000))


def trend_of(model: Recommender) -> int:
    """How many events the model's trend has counted."""
    trend = find_term(model.terms, Trend)
    assert trend is not None
    return int(trend.state()["counts"].sum())


def test_late_events_are_learned_by_the_next_update_and_judge_nothing(shop, engine: Engine):
    """A history that was imported after the champion is older than what the champion knows."""
    first = load_bundle(Path(shop("closed_form").bundle))
    with write(engine) as connection:
        history = toy_shop.trade(connection, first_day=100, days=5)
        time = tables.interactions.c.event_time
        after = time >= toy_shop.OPENING + 100 * toy_shop.DAY_MS
        connection.execute(update(tables.interactions).where(after).values(event_time=time - 105 * toy_shop.DAY_MS))
    with pytest.raises(TooFewEvents):
        shop("incremental")
    with write(engine) as connection:
        fresh = toy_shop.trade(connection, first_day=10, days=3)
    lenient = CONFIG.model_copy(update={"gate_min_coverage": 0.0})
    result = shop("incremental", trigger="new events", config=lenient)
    assert result.verdict == "promoted", result.reasons
    assert result.metrics["users"] == toy_shop.NUM_USERS  # of the last day, not of the history
    assert trend_of(load_bundle(Path(result.bundle))) == trend_of(first) + history + fresh
    with write(engine) as connection:
        toy_shop.trade(connection, first_day=13, days=1)
    again = shop("incremental", trigger="new events", config=lenient)  # what was learned is not learned again
    assert trend_of(load_bundle(Path(again.bundle))) <= trend_of(first) + history + fresh + 2 * toy_shop.NUM_USERS


def test_a_run_without_a_window_that_can_judge_is_postponed(shop, engine: Engine):
    shop("closed_form")
    with pytest.raises(TooFewEvents):
        shop("incremental")
    with read(engine) as connection:
        newest, _ = registry.list_runs(connection, newest=5)
    assert newest.status == registry.POSTPONED
    assert "wait for more" in (newest.error or "")
    assert (newest.owner or "").startswith("train ")


def test_dates_without_clock_times_make_a_champion_and_its_updates(shop, engine: Engine):
    """One day's events are all at the same millisecond, and one day is enough for an update."""
    moved(engine, first_day=0, last_day=10)
    first = load_bundle(Path(shop("closed_form").bundle))
    with write(engine) as connection:
        sold = toy_shop.trade(connection, first_day=10, days=1)
    moved(engine, first_day=10, last_day=11)
    lenient = CONFIG.model_copy(update={"gate_min_coverage": 0.0, "gate_min_users": toy_shop.NUM_USERS // 4})
    result = shop("incremental", trigger="new events", config=lenient)
    assert result.verdict == "promoted", result.reasons
    assert toy_shop.NUM_USERS // 4 <= result.metrics["users"] <= toy_shop.NUM_USERS // 3 + 1
    assert trend_of(load_bundle(Path(result.bundle))) == trend_of(first) + sold


def test_another_champion_meanwhile(shop, engine: Engine):
    first = shop("closed_form")
    rival = shop("closed_form")
    with write(engine) as connection:
        toy_shop.trade(connection, first_day=10, days=6)

    def overtake(line: str, _share: float) -> None:
        if line == "bundle":
            with write(engine) as connection:
                registry.promote(connection, rival.model_version, now=5)

    lenient = CONFIG.model_copy(update={"gate_min_coverage": 0.0})
    result = shop("incremental", trigger="new events", progress=overtake, config=lenient)
    assert result.parent == first.model_version
    assert result.verdict == "kept"
    with read(engine) as connection:
        champion = registry.champion(connection)
    assert champion is not None
    assert champion.model_version == rival.model_version
