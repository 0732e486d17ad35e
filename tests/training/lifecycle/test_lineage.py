"""Lineages: which change a run makes, against whom, and what earlier windows have shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, select

from graphstore.config import GraphstoreConfig
from graphstore.session import read, write
from graphstore.tables import retrain_requests
from tests.training import toy_shop
from training.baselines.gate import RecentPopularity
from training.config import TrainingConfig
from training.evaluation.ranking import METRIC
from training.evaluation.sequential import Wager
from training.lifecycle import registry
from training.lifecycle.gate import Evidence
from training.lifecycle.lineage import lineage_of, settings_hash
from training.lifecycle.run import RunSpec, run_training
from training.lifecycle.run_result import RunResult
from training.models.bundle import load_bundle
from training.models.popularity_model import POPULARITY
from training.options import TrainingOptions

CONFIG = TrainingConfig()


def row(version: str, **values) -> registry.ModelRow:
    known = {"kind": "closed_form", "status": registry.CANDIDATE, "parent": None, "snapshot_id": "s", "bundle": "b"}
    return registry.ModelRow(
        model_version=version, **(known | {"metrics": {}, "gate": {}, "seconds": 0.0, "created_at": 1} | values)
    )


def champion_of(engine: Engine, *rows: registry.ModelRow) -> registry.ModelRow:
    with write(engine) as connection:
        for model in rows:
            registry.register(connection, model)
        return registry.promote(connection, rows[-1].model_version, now=2)


@pytest.mark.parametrize(
    ("kind", "trigger", "config", "change"),
    [
        ("incremental", "5000 new events", CONFIG, "refresh"),
        ("closed_form", "interval", CONFIG, "refresh"),
        ("closed_form", "interval", CONFIG.model_copy(update={"training_seed": 3}), "refresh"),
        ("graphsage", "interval", CONFIG, "structural"),
        ("closed_form", "interval", CONFIG.model_copy(update={"blend_l2": 0.5}), "structural"),
        ("closed_form", "command line", CONFIG, "structural"),
        ("incremental", "command line", CONFIG, "structural"),
    ],
)
def test_the_kind_of_change(sqlite_engine, kind, trigger, config, change):
    champion = champion_of(sqlite_engine, row("m1", settings_hash=settings_hash("closed_form", CONFIG)))
    with read(sqlite_engine) as connection:
        lineage = lineage_of(connection, champion, kind=kind, trigger=trigger, config=config, now=3)
    assert lineage.change == change
    assert lineage.against == "m1"
    assert lineage.evidence == Evidence()


def test_the_newest_evidence_of_the_same_question_goes_on(sqlite_engine):
    def judged(version, change, against, windows, created_at, settings="mine"):
        evidence = Evidence()
        for _ in range(windows):
            evidence = replace(evidence, harm=evidence.harm.add(np.array([0.1])))
        memory = {
            "change": change,
            "action": "keep",
            "against": against,
            "evidence": evidence.to_json(),
            "until": 10 * windows,
        }
        kind = "incremental" if change == "refresh" else "graphsage"
        return row(version, kind=kind, gate={"memory": memory}, created_at=created_at, settings_hash=settings)

    own = settings_hash("graphsage", CONFIG)
    champion = champion_of(
        sqlite_engine,
        judged("m0", "refresh", "m1", 5, 0),  # older than the anchor: of another life
        row("m1", created_at=1, settings_hash="mine"),
        judged("m2", "refresh", "m1", 1, 2),
        judged("m3", "refresh", "m1", 2, 3),
        judged("m4", "structural", "m1", 3, 4, settings=own),
        judged("m5", "structural", "m1", 4, 5, settings="other"),
        judged("m6", "refresh", "m9", 6, 6),
        row("m7", kind="incremental", anchor="m1", created_at=7, settings_hash="mine"),
    )
    with read(sqlite_engine) as connection:
        update = lineage_of(connection, champion, kind="incremental", trigger="", config=CONFIG, now=9)
        sage = lineage_of(connection, champion, kind="graphsage", trigger="", config=CONFIG, now=9)
    assert (update.against, update.settings_hash, update.until) == ("m1", "mine", 20)
    assert update.evidence.harm.windows == 2
    assert (sage.against, sage.until, sage.evidence.harm.windows) == ("m1", 30, 3)


@pytest.fixture
def shop(sqlite_engine, tmp_path: Path):
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=10)

    def train(kind, *, days=0, trigger="new events", **settings) -> RunResult:
        with write(sqlite_engine) as connection:
            if days:
                newest = toy_shop.closing_time(connection)
                first = (newest - toy_shop.OPENING) // toy_shop.DAY_MS + 1
                toy_shop.trade(connection, first_day=first, days=days)
            closing = toy_shop.closing_time(connection)
        return run_training(
            sqlite_engine,
            RunSpec(kind, trigger),
            graph=GraphstoreConfig(state_dir=tmp_path),
            config=CONFIG.model_copy(update=settings),
            now=lambda: closing,
            options=TrainingOptions(seed=0),
        )

    return train


def model_of(engine: Engine, version: str | None) -> registry.ModelRow:
    with read(engine) as connection:
        return registry.get_model(connection, str(version))


def test_updates_are_compared_with_their_full_model_and_pool_their_evidence(shop, sqlite_engine):
    first = shop("closed_form")
    second = shop("incremental", days=3)
    third = shop("incremental", days=3)
    assert [result.verdict for result in (first, second, third)] == ["promoted"] * 3
    assert "no harm shown" in third.reasons[0]
    assert (first.anchor, second.anchor, third.anchor) == (None, first.model_version, first.model_version)
    assert first.settings_hash == third.settings_hash
    assert third.memory["evidence"]["harm"]["windows"] == 2
    assert third.memory["until"] > second.memory["until"] > 0
    assert model_of(sqlite_engine, third.model_version).anchor == first.model_version


def test_a_champion_that_is_too_old_is_replaced_by_a_model_that_does_no_harm(shop):
    shop("closed_form")
    young = shop("closed_form", trigger="command line", days=4)
    assert young.verdict == "kept"  # hardly better
    old = shop("closed_form", trigger="command line", days=4, champion_max_age_seconds=86_400.0)
    assert old.verdict == "promoted"
    assert "older than allowed" in old.reasons[1]


def test_a_window_that_was_counted_is_not_counted_again(shop):
    shop("closed_form")
    once = shop("graphsage", recommend_repeats="yes", sage=CONFIG.sage.model_copy(update={"dim": 8, "max_steps": 5}))
    again = shop("graphsage", recommend_repeats="yes", sage=CONFIG.sage.model_copy(update={"dim": 8, "max_steps": 5}))
    gains = [result.memory["evidence"]["gain"] for result in (once, again)]
    assert [gain["windows"] for gain in gains] == [1, 2]
    assert gains[0]["log_wealth"] == gains[1]["log_wealth"]


def test_popularity_serves_where_the_first_model_is_below_it(shop, sqlite_engine, monkeypatch):
    # The model lists what the baseline lists, the other way round.
    with monkeypatch.context() as worse:
        worse.setattr("training.models.candidate.Candidate.__call__", reversed_popularity)
        first = shop("closed_form")
    assert first.verdict == "kept"
    assert first.reasons[-1] == "there was no champion: popularity serves"
    with read(sqlite_engine) as connection:
        champion = registry.champion(connection)
    assert champion is not None
    assert (champion.kind, champion.model_version) == (POPULARITY, first.serves)
    model = load_bundle(Path(champion.bundle))
    users = model.histories([[], [(1, toy_shop.OPENING, 3)]])
    rows, scores = model.recommend(users, as_of=model.as_of, k=5)
    assert (rows[0] == rows[1]).all() or not model.repeats
    assert (np.diff(scores) <= 0).all()
    with monkeypatch.context() as still_worse:
        still_worse.setattr("training.models.candidate.Candidate.__call__", reversed_popularity)
        update = shop("incremental", days=3)
    assert (update.verdict, update.reasons[-1]) == ("kept", "recent popularity goes on")
    fresher = model_of(sqlite_engine, update.serves)
    assert (fresher.kind, fresher.status) == (POPULARITY, registry.CHAMPION)
    assert fresher.model_version != champion.model_version
    better = shop("closed_form", days=3)  # a model wins
    assert better.verdict == "promoted"
    assert "better beyond chance" in better.reasons[0]
    with read(sqlite_engine) as connection:
        assert connection.execute(select(retrain_requests)).all() == []


def reversed_popularity(candidate, histories, *, as_of):
    trend = next(term for term in candidate.terms if term.name == "trend")
    return -RecentPopularity(trend)(histories, as_of=as_of)


def test_where_the_champion_is_the_anchor_it_stays_and_the_next_update_begins_anew(shop, sqlite_engine, monkeypatch):
    first = shop("closed_form")
    asked_of: list[Wager] = []

    def shows(wager: Wager, _alpha: float) -> bool:
        """The lineage's wager is the first that bets on later windows, too."""
        asked_of.extend([wager] if wager.later else [])
        return wager.later and len(asked_of) == 1

    with monkeypatch.context() as harm:
        harm.setattr("training.lifecycle.gate.Wager.shows", shows)
        second = shop("incremental", days=3)
    assert (second.verdict, second.serves, second.memory["action"]) == ("kept", first.model_version, "anchor")
    assert model_of(sqlite_engine, first.model_version).banned_at is None
    with read(sqlite_engine) as connection:
        champion = registry.champion(connection)
        asked = connection.execute(select(retrain_requests)).one()
        assert champion is not None
        lineage = lineage_of(connection, champion, kind="incremental", trigger="", config=CONFIG, now=9)
    assert asked.full
    assert champion.model_version == first.model_version
    assert (lineage.evidence, lineage.until) == (Evidence(), second.memory["until"])


def test_a_lineage_that_does_harm_goes_back_to_its_full_model(shop, sqlite_engine, monkeypatch):
    first = shop("closed_form")
    second = shop("incremental", days=3)
    harmed = Evidence()
    for _ in range(40):
        harmed = replace(harmed, harm=harmed.harm.add(np.full(40, 0.2)))
    memory = model_of(sqlite_engine, second.model_version).gate["memory"]["evidence"]
    monkeypatch.setitem(memory, "harm", harmed.harm.to_json())
    monkeypatch.setattr(Evidence, "from_json", classmethod(lambda cls, state: harmed))
    third = shop("incremental", days=3)
    assert (third.verdict, third.serves) == ("kept", first.model_version)
    assert "last full model" in third.reasons[0]
    with read(sqlite_engine) as connection:
        champion = registry.champion(connection)
        asked = connection.execute(select(retrain_requests)).one()
    assert champion is not None
    assert champion.model_version == first.model_version
    assert (asked.full, asked.requested_by) == (True, "gate")
    assert model_of(sqlite_engine, second.model_version).banned_at is not None
    assert third.metrics[METRIC] > 0
