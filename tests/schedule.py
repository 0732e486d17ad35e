"""Which tests stand on what, which run in one process, and which begin first.

Marks: `service` (a broker, Redis, PostgreSQL or a browser is started), `kill` (processes are killed, or their ends are
timed), `slow` (over a second of processor time). `make quick` leaves all three out. The first follows from the fixtures
that a test takes; what a test starts by itself it marks by itself, and an unmarked one that starts a service fails.

With two processes (`pytest -n 2 --dist loadgroup`) the tests of a file stay together, for their fixtures' sake, and
the kills of the stream are one group: two of them at once would wait for the processor past their bounds. The kills of
trainings have no such bounds.
"""

import pytest

SERVICES = frozenset({"redis_url", "postgres_url", "tansu", "apache_kafka", "broker", "mortal", "target", "secure"})
"""Fixtures that start a service. Others stand on them."""

CHILDREN = frozenset({"redis", "kafka", "tansu"})
"""Names of the child processes that are services."""

KILLS = "kills"

TIMED = ("tests/test_kills.py", "tests/stream/", "tests/contracts/", "tests/serving/test_two_nearlines.py")
"""Where kills are that a busy processor would fail."""


def arrange(items: list[pytest.Item]) -> None:
    """Mark, group and order, in place: what takes long begins first, so that no process waits for the other."""
    for item in items:
        if SERVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.service)
        timed = item.get_closest_marker("kill") and item.nodeid.startswith(TIMED)
        group = KILLS if timed else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    weights: dict[str, int] = {}
    for item in items:
        group = _group(item)
        weights[group] = max(weights.get(group, 0), _weight(item))
    items.sort(key=lambda item: -weights[_group(item)])


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])


def _weight(item: pytest.Item) -> int:
    """How early a group begins: kills first, then services and slow tests."""
    for weight, name in ((3, "kill"), (2, "slow"), (1, "service")):
        if item.get_closest_marker(name):
            return weight
    return 0
