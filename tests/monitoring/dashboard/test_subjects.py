"""Pages of a subject: models, drift, experiments, items, operations, on both databases."""

import json
from dataclasses import asdict

from redis import Redis

from graphstore.ingest import InteractionRow, ingest_interactions, record_progress
from graphstore.item_fields import ItemRow
from graphstore.redis import hot
from graphstore.redis.errands import State
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, HOUR_MS
from graphstore.upserts import upsert_items
from monitoring.dashboard import drift, experiments, items, models, operations
from monitoring.dashboard.dead_letters import DeadLetters, Kind
from monitoring.dashboard.series import DAY, HOUR
from monitoring.dashboard.surroundings import Surroundings
from monitoring.drift.verdict import METRIC
from monitoring.experiments import report
from monitoring.windows import ALL, Figure, TimeWindow, write_figures
from serving.experiments import Experiment, start
from serving.routing import Arm
from stream.kafka.lag import PartitionLag
from stream.readiness import Readiness
from tests.monitoring.dashboard.conftest import NOON, Store, chart, counts, rows, table, tiles


def model(version: str, **more: object) -> dict[str, object]:
    gate = {"verdict": "promoted", "reasons": ["better beyond chance", "in one window"]}
    given = {"kind": "graphsage", "status": "kept", "snapshot_id": "s", "bundle": "b", "gate": json.dumps(gate)}
    return {"model_version": version, "created_at": NOON - DAY, "seconds": 12.5, **given, **more}


def test_models_verdicts_lifts_probation_requests_and_runs(store: Store) -> None:
    store.put("models", model("m1", banned_at=5), model("m2", status="champion", promoted_at=NOON - 2 * HOUR))
    store.day(0, counts(200, 20), "model:m2")
    lift = {"lift": 0.12, "low": 0.01, "high": 0.2, "shoppers": {"new": 60, "previous": 40}, "words": "better"}
    change = {"action": "promote", "who": "run", "why": "gate"}
    store.put("promotions",
              change | {"at": 5, "to_version": "m1", "outcome": "harm", "ended_at": 9},
              change | {"at": NOON - HOUR, "to_version": "m2", "from_version": "m1", "probation_share": 0.1,
                        "probation_until": NOON + DAY, "detail": json.dumps(lift)})  # fmt: skip
    store.put("retrain_requests", {"reason": "fell", "requested_by": "monitoring", "requested_at": 7, "full": True})
    run = {"kind": "graphsage", "trigger": "time", "started_at": NOON - 60_000}
    store.put("training_runs", run | {"run_id": "r1", "status": "running"},
              run | {"run_id": "r0", "status": "failed", "finished_at": NOON - 30_000, "error": "x" * 999})  # fmt: skip
    with read(store.engine) as connection:
        page = models.compose(connection, now=NOON)
    now = tiles(page, "Now")
    assert now["Champion"].value == "m2"
    probation = now["Probation: lift of the click-through rate"]
    assert (probation.value, probation.low, probation.high, probation.n) == (0.12, 0.01, 0.2, 100)
    newest = table(page, "Newest models")
    assert [(row[0], row[2], row[4], row[5]) for row in newest] == [
        ("m2", "champion", 0.1, 200), ("m1", "kept, banned", None, 0),
    ]  # fmt: skip
    assert newest[0][-1] == "promoted: better beyond chance; in one window"
    assert [row[5:7] for row in table(page, "Promotions and rollbacks")] == [["runs", 0.12], ["harm", None]]
    assert table(page, "Requests for a retrain")[0] == [7, "monitoring", "fell", "yes", "waiting", ""]
    assert [row[3:5] for row in table(page, "Training runs")] == [["running", 60.0], ["failed", 30.0]]
    (asking,) = rows(page, "Ask for a retrain").rows
    assert [action.errand for action in asking.actions] == ["retrain"]


def test_models_of_a_new_shop(store: Store) -> None:
    with read(store.engine) as connection:
        page = models.compose(connection, now=NOON)
    now = tiles(page, "Now")
    assert now["Champion"].value is None and now["Champion"].note
    assert table(page, "Newest models") == [] and rows(page, "Newest models").empty


def drift_report(store: Store, days_ago: int, **detail: object) -> None:
    span = TimeWindow(NOON - (days_ago + 1) * DAY, NOON - days_ago * DAY)
    told = {"reason": "1 of 2 columns", "reference_events": 9_000, "current_events": 1_000, **detail}
    with write(store.engine) as connection:
        write_figures(connection, [Figure(METRIC, ALL, span, 0.5, detail=told)])


def column(name: str, score: float, *, drifted: bool = False) -> dict[str, object]:
    return {"column": name, "reference": "the week before", "score": score, "threshold": 0.2, "p": 0.01,
            "drifted": drifted, "n_reference": 900, "n_current": 100}  # fmt: skip


def test_drift_by_column_over_time_with_links(store: Store) -> None:
    drift_report(store, 3, verdict="stable", scores={"price": 0.3}, drifted=[])  # of an older version
    drift_report(store, 2, verdict="stable", scores={"price": 0.1, "hour": 0.05}, drifted=[],
                 columns=[column("price", 0.1), column("hour", 0.05)])  # fmt: skip
    drift_report(store, 1, verdict="drift", scores={"price": 0.5, "hour": 0.05}, drifted=["price"],
                 skipped={"activity": "3 values"}, columns=[column("hour", 0.05), column("price", 0.5, drifted=True)],
                 report_html="/var/lib/sagestream/reports/drift-1.html", ranking_html="r/ranking-1.html")  # fmt: skip
    with read(store.engine) as connection:
        page = drift.compose(connection, now=NOON)
    verdict = tiles(page, "Newest report")["Verdict"]
    assert (verdict.value, verdict.state, verdict.n) == ("drift", "bad", 1_000)
    assert verdict.href == "/dashboard/reports/drift-1.html"
    assert table(page, "Columns") == [
        ["price", 0.5, 0.2, 0.01, 900, 100, "drifted", "the week before"],
        ["hour", 0.05, 0.2, 0.01, 900, 100, "as before", "the week before"],
        ["activity", None, None, None, None, None, "not tested", "3 values"],
    ]
    lines = chart(page, "Score as a share of the threshold").lines
    assert {line.name: [point.value for point in line.points] for line in lines} == {
        "hour": [0.25, 0.25], "price": [0.5, 2.5],
    }  # fmt: skip
    reports = rows(page, "Reports")
    assert [row[3] for row in table(page, "Reports")] == ["drift", "stable", "stable"]
    links = [getattr(cell, "href", "") for cell in reports.rows[0].cells[:3]]
    assert links == ["/dashboard/reports/drift-1.html", "", "/dashboard/reports/ranking-1.html"]


def test_drift_before_the_first_report(store: Store) -> None:
    with read(store.engine) as connection:
        page = drift.compose(connection, now=NOON)
    assert tiles(page, "Newest report")["Verdict"].value is None
    assert rows(page, "Columns").empty and chart(page, "Score as a share of the threshold").lines == []


def test_experiments_running_unmeasured_and_ended(store: Store) -> None:
    arms = (Arm("plain", 0.5), Arm("wide", 0.5))
    with write(store.engine) as connection:
        for name, slot in (("first", "a"), ("second", "b")):
            start(connection, Experiment(name, slot, "s", arms, "me", "why not", NOON - DAY))
    with read(store.engine) as connection:
        known = [report(connection, one, now=NOON - HOUR) for one in experiments.list_experiments(connection)[:1]]
        page = experiments.compose(connection, now=NOON, reports=known)
    assert tiles(page, "Now")["Running experiments"].value == 2
    assert table(page, "first (running)")[0][:4] == ["plain (control)", 0.5, 0.0, 0.0]
    assert table(page, "first (running)")[1][6:] == [None, "nothing to compare yet", None, "nothing to compare yet"]
    assert "Measured 60 minutes ago" in rows(page, "first (running)").note
    assert table(page, "second (running)")[1] == ["wide", 0.5, *[None] * 8]
    assert "Not measured yet" in rows(page, "second (running)").note
    told = asdict(known[0]) | {"sample_ratio_fault": True, "sample_ratio_p": 0.001}
    better = {"rate": 0.2, "difference": 0.1, "low": 0.05, "high": None, "p_value": 0.01, "verdict": "better"}
    told["arms"][0] |= {"shoppers": 9, "items": 90}
    told["arms"][1] |= {"shoppers": 9, "items": 90, "differences": {"ctr": better}}
    ended = {"salt": "s", "status": "stopped", "who": "me", "why": "", "started_at": 5, "stopped_at": 9}
    arms_told = '[{"name": "plain", "share": 0.5}, {"name": "wide", "share": 0.5}]'
    store.put("experiments", {"name": "over", "arms": arms_told, "outcome": json.dumps(told), **ended})
    with read(store.engine) as connection:
        page = experiments.compose(connection, now=NOON, reports=[])
    assert table(page, "over (stopped)")[1][6:] == [0.1, "better", None, "nothing to compare yet"]
    assert "trust no figure" in rows(page, "over (stopped)").note


def test_top_and_rising_items(store: Store, redis: Redis) -> None:
    view, purchase, returned = (EVENT_TYPES.index(name) for name in ("view", "purchase", "return"))
    events = [InteractionRow(f"s{n}", view, "u", "steady", NOON - n * 3 * HOUR_MS) for n in range(60)]
    events += [InteractionRow(f"r{n}", view, "u", "rising", NOON - n * 60_000) for n in range(40)]
    events += [InteractionRow(f"o{n}", view, "u", "rising", NOON - 3 * DAY) for n in range(7)]
    events += [InteractionRow("p", purchase, "u", "rising", NOON), InteractionRow("x", returned, "u", "rising", NOON)]
    with write(store.engine) as connection:
        upsert_items(connection, [ItemRow("rising", "A hat", [], "", 9.5, False, 1)])
        ingest_interactions(connection, events, now=NOON)
    hot.set_trending(redis, "24h", {"rising": 40.0, "steady": 8.0, "unknown": 3.0})
    with read(store.engine) as connection:
        page = items.compose(connection, redis, now=NOON)
    top = table(page, "Top items")
    assert top[0] == ["A hat", 40, 40, 0, 0, 1, 9.5, "no"]
    assert [row[0] for row in top] == ["A hat", "steady"]
    ((name, times, now, before, _),) = table(page, "Rising items")
    assert (name, times, now, before) == ("A hat", 40.0, 40, 7)
    hot.set_trending(redis, "24h", {})
    with read(store.engine) as connection:
        page = items.compose(connection, redis, now=NOON)
    assert table(page, "Top items") == [] and rows(page, "Rising items").empty


def test_operations_tell_processes_lag_backlog_and_dead_letters(store: Store) -> None:
    store.put("dirty_shoppers", *({"user_id": f"u{n}", "since": 1} for n in range(3)))
    with write(store.engine) as connection:
        record_progress(connection, "interactions", {0: 70, 1: 5}, now=NOON - HOUR)
    kind = Kind("interactions", "Invalid enum value …", 12, NOON - DAY, NOON - HOUR)
    kind.producers.update({"kasse-3": 10, "": 2})
    kind.samples.extend(["interactions/0@1: {one}", "interactions/0@2: {two}"])
    foreign = Kind("", "not a letter of the contract", 1)
    letters = DeadLetters((kind, foreign), 13, complete=True, counted_at=NOON)
    surroundings = Surroundings(
        looked_at=NOON - 5_000,
        processes=(Readiness("worker", "w1", 6066, "ready", {"kafka": "ok"}),
                   Readiness("serve", "127.0.0.1", 6071, "away", said="nobody answers")),
        lags=(PartitionLag("interactions", 0, 9), PartitionLag("interactions", 1, 1, "of another log", False)),
        dead_letters=letters,
    )  # fmt: skip
    done = State(id="a", kind="forget", subject="", who="admin", asked_at=1, state="done", changed_at=2, said="gone")
    with read(store.engine) as connection:
        page = operations.compose(connection, surroundings, [done], now=NOON)
    assert table(page, "Processes") == [
        ["worker", "w1:6066", "ready", "kafka: ok"], ["serve", "port 6071", "away", "nobody answers"],
    ]  # fmt: skip
    backlog = tiles(page, "Freshness and backlog")
    assert backlog["Messages that are not in the graph yet"].value == 10
    assert backlog["Shoppers to attribute again"].value == 3
    assert backlog["From event to graph, median"].value is None
    assert table(page, "Topics") == [["interactions", 2, NOON - HOUR, 10, "partition 1: of another log"]]
    dead = rows(page, "Dead letters").rows
    assert [[action.subject for action in row.actions] for row in dead] == [
        ["interactions Invalid enum value …"], [], [""],
    ]  # fmt: skip
    assert table(page, "Dead letters")[0][2:] == [12, NOON - DAY, NOON - HOUR, "kasse-3: 10, not named: 2"]
    assert table(page, "Samples of dead letters")[0][1] == "interactions/0@2: {two}", "the newest first"
    assert table(page, "Errands") == [[1, "forget", "admin", "done", 2, "gone"]]


def test_operations_before_the_first_look(store: Store) -> None:
    with read(store.engine) as connection:
        page = operations.compose(connection, Surroundings(), [], now=NOON)
    assert rows(page, "Processes").empty == "The processes were not asked yet."
    assert tiles(page, "Freshness and backlog")["Messages that are not in the graph yet"].value is None
    assert rows(page, "Dead letters").empty == "The queue was not read yet."
