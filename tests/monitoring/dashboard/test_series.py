"""Stored windows come back as the counts that were written."""

import pytest

from graphstore.session import read
from monitoring.counts import METRIC, Counts
from monitoring.dashboard.series import DAY, HOUR, pooled, read_segments, read_series, segment_names, span_of, values_of
from monitoring.windows import ALL, TimeWindow
from tests.monitoring.dashboard.conftest import NOON, Store, counts


def test_the_windows_of_one_width_come_in_order_and_older_versions_are_left_out(store: Store) -> None:
    for ago in (0, 3, 1):
        store.day(ago, counts(100 + ago, 10))
    store.hour(0, counts(7))
    old = {"metric": METRIC, "segment": ALL, "window_start": NOON - 2 * DAY, "window_end": NOON - DAY}
    store.put("metric_windows", {**old, "detail": '{"impressions": 5, "clicks": 1}'})
    with read(store.engine) as connection:
        found = read_series(connection, width=DAY, since=0, until=NOON)
        assert [stored.counts.impressions for stored in found] == [103, 101, 100]
        assert [
            stored.counts.impressions for stored in read_series(connection, width=HOUR, since=0, until=NOON + 1)
        ] == [7]
        assert read_series(connection, width=HOUR, since=0, until=NOON) == []
    assert found[0].counts == counts(103, 10)
    assert found[0].ctr == counts(103, 10).ctr()
    assert span_of(found, now=NOON) == TimeWindow(NOON // DAY * DAY - 3 * DAY, NOON)
    assert span_of([], now=NOON) is None


def test_every_segment_is_named_once_whatever_the_collation(store: Store) -> None:
    names = {ALL, "slot:home", "slot:Über", "slot-x:a", "slota", "position:1", "position:10"}
    for name in names:
        for ago in range(3):
            store.day(ago, counts(10), name)
    with read(store.engine) as connection:
        found = segment_names(connection)
        assert sorted(found) == sorted(names)
        slots = values_of("slot", found)
        assert sorted(slots.values()) == ["home", "Über"]
        got = read_segments(connection, slots, width=DAY, since=0, until=NOON)
    assert {name: len(windows) for name, windows in got.items()} == dict.fromkeys(slots, 3)


def test_pooled_counts_are_the_sums(sqlite_store: Store) -> None:
    sqlite_store.day(1, counts(100, 10, orders=2, revenue={"EUR": 5.0}, refunds={"EUR": 1.0}))
    sqlite_store.day(0, counts(50, 5, orders=1, revenue={"EUR": 2.5, "": 1.0}))
    with read(sqlite_store.engine) as connection:
        found = pooled(read_series(connection, width=DAY, since=0, until=NOON))
    assert (found.impressions, found.clicks, found.orders, found.viewers) == (150, 15, 3, 150)
    assert (found.revenue, found.refunds) == ({"EUR": 7.5, "": 1.0}, {"EUR": 1.0})
    assert found.ctr() == counts(150, 15, orders=3).ctr()
    assert pooled([]) == Counts()
    assert pooled([]).ctr().value is None


def test_a_thousand_segments_are_read_in_pieces(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.dashboard.series.SEGMENTS_AT_ONCE", 2)
    names = [f"model:m{n}" for n in range(5)]
    for name in names:
        sqlite_store.day(0, counts(3), name)
    with read(sqlite_store.engine) as connection:
        assert sorted(read_segments(connection, names, width=DAY, since=0, until=NOON)) == names
