"""The segments that Prometheus sees: configured slots, the newest and largest of the others, and the rest as one."""

import pytest

from monitoring.metric_segments import KEPT, newest_figures
from monitoring.windows import Figure, TimeWindow

HOUR = 3_600_000


def figure(segment: str, hour: int, impressions: int, clicks: int, *, hours: int = 1) -> Figure:
    window = TimeWindow(hour * HOUR, (hour + hours) * HOUR)
    return Figure(
        "ctr", segment, window, clicks / impressions, 0.0, 1.0, {"impressions": impressions, "clicks": clicks}
    )


def test_configured_slots_stand_alone_and_the_others_are_one_with_their_sums() -> None:
    given = [figure("all", 0, 90, 9), figure("slot:home", 0, 40, 4), figure("slot:cart", 0, 20, 1)]
    given += [figure(f"slot:made-up-{number}", 0, 10, number) for number in range(3)]
    shown = newest_figures(given, slots=["home", "cart", "email"])
    assert set(shown) == {"all", "slot:home", "slot:cart", "slot:other"}
    assert shown["slot:home"] is given[1]
    other = shown["slot:other"]
    assert (other.value, other.low, other.high, other.detail) == (0.1, None, None, {"impressions": 30, "clicks": 3})


def test_the_sum_of_others_holds_one_window() -> None:
    given = [figure("slot:a", 0, 100, 50), figure("slot:b", 1, 10, 1), figure("slot:c", 1, 10, 3)]
    assert newest_figures(given, slots=[])["slot:other"].detail == {"impressions": 20, "clicks": 4}


@pytest.mark.parametrize("kind", KEPT)
def test_the_newest_stay_then_the_largest(kind: str) -> None:
    keep = KEPT[kind]
    old = [figure(f"{kind}:old-{number}", 0, 10_000, 1) for number in range(keep)]
    new = [figure(f"{kind}:new-{number:02}", 1, 10 + number, 1) for number in range(keep + 1)]
    shown = newest_figures([*old, *new], slots=[])
    assert set(shown) == {f"{kind}:new-{number:02}" for number in range(1, keep + 1)} | {f"{kind}:other"}


def test_an_hour_counts_before_the_day_that_begins_with_it() -> None:
    day, hour = figure("all", 0, 100, 1, hours=24), figure("all", 0, 50, 5)
    assert newest_figures([day, hour], slots=[])["all"] is hour
    assert newest_figures([hour, day], slots=[])["all"] is hour
