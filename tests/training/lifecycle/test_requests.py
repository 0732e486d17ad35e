"""The life of a request, on both databases."""

import pytest
from sqlalchemy import Connection, Engine

from graphstore.session import write
from training.lifecycle import registry, requests
from training.lifecycle.registry import RetrainRequest

NOW = 1_700_000_000_000


@pytest.fixture
def connection(engine: Engine):
    with write(engine) as opened:
        yield opened


def ask(connection: Connection, reason: str, *, full: bool = False) -> int:
    return registry.request_retrain(
        connection, reason=reason, requested_by="somebody", now=NOW, full=full, figures={"share": 0.5}
    )


def begin(connection: Connection, run_id: str, *, kind: str = "incremental", at: int = NOW) -> list[RetrainRequest]:
    registry.start_run(connection, run_id, kind=kind, trigger="test", now=at)
    return requests.take_requests(connection, run_id, full=kind == "graphsage")


def waiting(connection: Connection) -> list[str]:
    return [request.reason for request in requests.waiting_requests(connection)]


def test_a_request_carries_who_why_and_figures(connection):
    key = ask(connection, "drift", full=True)
    assert requests.waiting_requests(connection) == [
        RetrainRequest(key, "drift", "somebody", NOW, full=True, figures={"share": 0.5})
    ]


def test_an_update_leaves_requests_for_a_full_run_waiting(connection):
    ask(connection, "all of it", full=True)
    ask(connection, "drift")
    assert [request.reason for request in begin(connection, "r1")] == ["drift"]
    assert waiting(connection) == ["all of it"]
    ask(connection, "ctr")
    assert [request.reason for request in begin(connection, "r2", kind="graphsage")] == ["all of it", "ctr"]
    assert waiting(connection) == []


@pytest.mark.parametrize("status", [registry.PROMOTED, registry.KEPT])
def test_a_run_that_judged_a_model_answers(connection, status):
    key = ask(connection, "drift")
    begin(connection, "r1")
    assert requests.settle(connection, now=NOW) == []
    assert requests.get_request(connection, key).status == registry.RUNNING
    registry.finish_run(connection, "r1", status=status, now=NOW + 5, model_version="m1")
    for time in (NOW + 9, NOW + 10):  # also one whose scheduler died before it could tell
        requests.settle(connection, now=time)
        answered = requests.get_request(connection, key)
        assert (answered.status, answered.run_id, answered.outcome) == ("answered", "r1", f"{status}: m1")
        assert answered.finished_at == NOW + 5


def test_a_postponed_run_never_costs_its_request(connection):
    key = ask(connection, "drift")
    for place in range(5):
        begin(connection, f"r{place}", at=NOW + place)
        registry.finish_run(connection, f"r{place}", status=registry.POSTPONED, now=NOW + place, error="too few")
        requests.settle(connection, now=NOW + place, run_id=f"r{place}")
        asked = requests.get_request(connection, key)
        assert (asked.status, asked.run_id, asked.outcome) == ("waiting", None, "postponed: too few")


def test_a_request_is_offered_again_until_too_many_runs_fail(connection):
    key = ask(connection, "drift")
    for place in range(requests.MAX_ATTEMPTS):
        assert waiting(connection) == ["drift"]
        begin(connection, f"r{place}", at=NOW + place)
        requests.settle(connection, now=NOW + place, run_id=f"r{place}", error="killed")
    assert waiting(connection) == []
    dropped = requests.get_request(connection, key)
    assert (dropped.status, dropped.run_id) == ("dropped", "r2")
    assert dropped.outcome == "3 incremental runs failed in a row: killed"
    assert dropped.finished_at == NOW + 2


def test_failures_of_another_kind_do_not_count(connection):
    for place in range(5):
        begin(connection, f"full{place}", kind="graphsage", at=NOW + place)
        requests.settle(connection, now=NOW + place, run_id=f"full{place}")
    ask(connection, "drift")
    begin(connection, "r1", at=NOW + 9)
    requests.settle(connection, now=NOW + 9, run_id="r1")
    assert waiting(connection) == ["drift"]


def test_a_new_leader_settles_what_the_old_one_left(connection):
    ask(connection, "drift")
    registry.start_run(connection, "r1", kind="incremental", trigger="", now=NOW, owner="scheduler shop:1")
    requests.take_requests(connection, "r1", full=False)
    registry.start_run(connection, "r2", kind="incremental", trigger="", now=NOW, owner="train shop:2")
    assert requests.settle(connection, now=NOW + 1, new_leader=True) == ["r1"]
    assert waiting(connection) == ["drift"]
    alive = registry.get_run(connection, "r2")
    assert alive is not None
    assert alive.status == registry.RUNNING
