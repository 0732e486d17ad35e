"""`ope` on the log of a toy shop with a trained model, on the Open Bandit format, and what it refuses."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from graphstore.config import GraphstoreConfig
from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import now_ms, open_engine, write
from graphstore.tables import EVENT_TYPES
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import attribute_now
from monitoring.ope.logs import ShownList
from monitoring.ope.target import candidates
from sagestream.registered import registered_bundle
from serving.exploration import draw
from serving.routing import Exploration
from serving.source import ShopSource
from tests.databases import migrated_sqlite
from tests.monitoring.ope.test_open_bandit import BTS, RANDOM
from tests.sagestream.verbs.commands import run
from tests.training import toy_shop
from training.models.bundle import load_bundle

HOW = Exploration(temperature=1.0)
CLICK = EVENT_TYPES.index("click")


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    directory = tmp_path / "state"
    engine = open_engine(migrated_sqlite(directory / "graph.db"))
    with write(engine) as connection:
        toy_shop.open_shop(connection, days=8)
    engine.dispose()
    return {"STATE_DIR": str(directory), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def serve(state: str, *, visits: int = 12) -> None:
    """Lists of two items that the champion's list is drawn from, for each shopper several times; some are clicked."""
    graph = GraphstoreConfig(state_dir=Path(state))
    model = load_bundle(registered_bundle(graph, None))
    engine = open_engine(graph.sqlalchemy_url)
    rng, start = np.random.default_rng(1), now_ms() - 3_600_000
    shown: list[ImpressionRow] = []
    clicks: list[InteractionRow] = []
    users = [f"u{user}" for user in range(toy_shop.NUM_USERS)]
    for visit in range(visits):
        asked = [ShownList(user, "try/wide", model.model_version, start + visit, []) for user in users]
        for user, listed in zip(users, candidates(model, ShopSource(engine), asked, k=100), strict=True):
            request = f"{user}-{visit}"
            drawn = draw(listed.scores, 0, HOW, count=2, seed=int(rng.integers(2**63)))
            for place, (choice, chance) in enumerate(zip(drawn.choices, drawn.propensities, strict=True)):
                item, score = listed.item_ids[choice], float(listed.scores[choice])
                row = (request, place, user, item, "home", start + visit, model.model_version, "try/wide")
                shown.append(ImpressionRow(*row, score, chance, "batch"))
                if rng.random() < (0.5 if choice == 0 else 0.1):
                    kind = EVENT_TYPES.index("click")
                    clicks.append(
                        InteractionRow(f"{request}-{place}", kind, user, item, start + visits, request_id=request)
                    )
    with write(engine) as connection:
        insert_impressions(connection, shown)
        ingest_interactions(connection, clicks, now=start + visits)
        attribute_now(connection)
    engine.dispose()


@pytest.mark.slow
def test_another_temperature_of_the_champion(alone: dict[str, str]) -> None:
    trained = run("train", "--kind", "closed_form", "--json", settings=alone)
    assert trained.code == 0
    nothing = run("ope", "--temperature", "0.5", settings=alone)
    assert nothing.code == 1
    assert "no list in this time explored, every propensity is 1" in str(nothing.error)
    serve(alone["STATE_DIR"])
    same = run("ope", "--temperature", "1", "--positions", "2", "--json", settings=alone).json
    assert (same["variants"], same["notes"], same["lists"], same["shoppers"]) == (["try/wide"], [], 480, 40)
    assert same["mean_weight"] == pytest.approx(1.0, abs=0.02)
    assert same["estimates"]["ips"]["value"] == pytest.approx(same["logged"]["value"], rel=0.02)
    # The first item of a list is clicked five times as often, and a colder slot shows it first more often.
    colder = run("ope", "--temperature", "0.8", "--positions", "1", "--json", settings=alone).json
    assert colder["estimates"]["snips"]["difference"] > 0
    words = run("ope", "--temperature", "0.8", "--positions", "1", settings=alone)
    assert (words.code, words.error) == (0, None)
    assert "doubly robust" in words.out and "480 lists of 40 shoppers" in words.out
    champion = run(
        "ope", "--model", "champion", "--temperature", "0.8", "--positions", "1", "--json", settings=alone
    ).json
    assert champion["estimates"] == colder["estimates"]
    assert (champion["model_version"], colder["model_version"]) == (trained.json["model_version"], "shown")
    away = run("ope", "--temperature", "0.8", "--slot", "cart", settings=alone)
    assert "every propensity is 1" in str(away.error)
    shutil.move(trained.json["bundle"], f"{trained.json['bundle']}-gone")
    pruned = run("ope", "--temperature", "0.8", settings=alone)
    version = trained.json["model_version"]
    refusal = f"0 lists, and at least 100 are needed; 480 lists of {version} are left out: its bundle is gone"
    assert str(pruned.error) == refusal
    unknown = run("ope", "--model", "m9", settings=alone)
    assert "no model m9 in the registry" in str(unknown.error)


def test_the_open_bandit_sample(tmp_path: Path) -> None:
    for policy, text in (("random", RANDOM), ("bts", BTS)):
        file = tmp_path / "obd" / policy / "all" / "all.csv"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    settings = {"STATE_DIR": str(tmp_path / "state")}
    told = run("ope", "--dataset", "obd", "--path", str(tmp_path / "obd"), "--json", settings=settings)
    assert (told.code, told.json["policy"], told.json["own_log"]) == (0, "bts", 0.0)
    assert told.json["estimates"]["ips"]["value"] == pytest.approx(0.4)
    words = run("ope", "--dataset", "obd", "--path", str(tmp_path / "obd"), settings=settings)
    assert "in its own log, bts had 0.000%" in words.out
    refused = run("ope", "--dataset", "obd", "--path", str(tmp_path / "none"), settings=settings)
    assert (refused.code, "does not hold the log of random" in str(refused.error)) == (1, True)
    silent = run("ope", "--dataset", "obd", "--path", str(tmp_path / "obd"), "--logged", "bts", settings=settings)
    assert "only 78% of what the other setting would show" in str(silent.error)
