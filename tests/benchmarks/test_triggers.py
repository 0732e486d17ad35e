"""The benchmark of the triggers: its shops are what it says, and a request restarts the watch."""

from benchmarks.hourly_clicks import MONDAY, ShopKind, made_up_hours
from benchmarks.triggers import followed
from graphstore.tables import HOUR_MS
from monitoring.triggers.fall import Course, fallen, watched
from monitoring.triggers.level_watch import correlation, working_rate

SHOP = ShopKind(5_000)


def test_a_made_up_shop_has_the_rate_and_the_alikeness_that_it_says() -> None:
    hours = list(made_up_hours(SHOP, 7 * 24, 1))
    assert [hour.start for hour in hours] == [MONDAY + number * HOUR_MS for number in range(7 * 24)]
    assert abs(working_rate(hours) - 0.05) < 0.004
    assert 0.04 < correlation(hours) < 0.07
    assert abs(sum(hour.impressions for hour in hours) / len(hours) - 5_000) < 200


def test_a_quiet_shop_is_left_alone_and_a_fall_asks_once_as_the_monitor_would() -> None:
    def level(hour: int) -> float:
        return 0.7 if hour >= 20 * 24 else 1.0

    assert followed(SHOP, 20, 2) == []
    (asked,) = followed(SHOP, 25, 2, level=level)
    assert 20 * 24 < asked.hours < 20 * 24 + 8
    assert 0.2 < asked.fall < 0.4
    hours = list(made_up_hours(SHOP, asked.hours, 2, level=level))
    assert fallen(watched(hours, Course(until=hours[-1].end)))
    assert not fallen(watched(hours[:-2], Course(until=hours[-3].end)))
