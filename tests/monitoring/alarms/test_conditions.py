"""What is wrong with models and runs, from their rows."""

import pytest
from sqlalchemy import insert

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import write
from graphstore.tables import promotions, training_runs
from monitoring.alarms.conditions import BY_PROBATION, conditions, sample_ratio
from monitoring.probation import WHO

DAY_MS = 86_400_000
NOW = 1_700_000_000_000


def wrong(connection):
    return {name: found.text for name, found in conditions(connection, now=NOW).items() if found is not None}


def run(connection, status, ended, error=None):
    row = {"run_id": f"{status}-{ended}", "kind": "full", "trigger": "x", "status": status, "error": error}
    connection.execute(insert(training_runs).values(**row, started_at=ended - 5, finished_at=ended))


@pytest.mark.parametrize(
    ("changes", "harm"),
    [
        ([("promote", "m2", "gate", "passed")], False),
        ([("promote", "m2", "gate", "harm")], True),
        ([("promote", "m2", "gate", "harm"), ("rollback", "m1", WHO, None)], True),
        ([("promote", "m2", "gate", None), ("rollback", "m1", "me", None)], False),
        ([("promote", "m2", "gate", "harm"), ("rollback", "m1", WHO, None), ("promote", "m3", "gate", None)], False),
        ([], False),
    ],
)
def test_harm_lasts_until_the_next_promotion(sqlite_engine, changes, harm):
    assert BY_PROBATION == WHO
    with write(sqlite_engine) as connection:
        for number, (action, version, who, outcome) in enumerate(changes):
            row = {"at": number, "action": action, "to_version": version, "who": who, "why": "", "outcome": outcome}
            connection.execute(insert(promotions).values(**row, detail='{"words": "worse beyond chance"}'))
        expected = {"probation_harm": "m2 did harm: worse beyond chance"} if harm else {}
        assert wrong(connection) == expected


def test_three_failed_runs_in_a_row_are_an_alarm_until_one_is_well(sqlite_engine):
    with write(sqlite_engine) as connection:
        for ended in (1, 2):
            run(connection, "failed", NOW - DAY_MS + ended, "out of memory")
        assert wrong(connection) == {}
        run(connection, "failed", NOW - DAY_MS + 3, "killed")
        run(connection, "postponed", NOW - DAY_MS + 4)
        assert wrong(connection) == {"training_fails": "the last 3 training runs have failed, the newest with: killed"}
        run(connection, "kept", NOW - DAY_MS + 5)
        assert wrong(connection) == {}


def test_a_week_without_a_good_run_is_an_alarm_while_events_come(sqlite_engine):
    with write(sqlite_engine) as connection:
        run(connection, "promoted", NOW - 8 * DAY_MS)
        assert wrong(connection) == {}
        ingest_interactions(connection, [InteractionRow("e", 0, "ann", "apple", NOW - 5)], now=NOW)
        assert wrong(connection) == {
            "training_stands": "no training has ended well for 8 days, while events come in",
        }


def test_experiments_are_named_with_their_p_values():
    assert sample_ratio({}) is None
    assert sample_ratio({"b": 0.001, "a": 2e-7}).text.endswith("in a (p = 2e-07), b (p = 0.001)")
