"""Names and times of injections."""

import pytest

from graphstore.retention import DAY_MS
from sagestream.simulation.injections import IN_WORDS, INJECTIONS, Injection, UnknownInjection, injection_of


def test_every_injection_is_told_in_words() -> None:
    assert set(IN_WORDS) == set(INJECTIONS)
    assert [injection_of(name, 1).name for name in INJECTIONS] == list(INJECTIONS)


def test_an_unknown_one_is_refused_with_the_known_names() -> None:
    with pytest.raises(UnknownInjection, match="no injection flood: there are season, taste_shift"):
        injection_of("flood", 1)


def test_an_outage_ends_and_a_shift_does_not() -> None:
    days = range(5)
    assert [Injection("taste_shift", 2).active(day * DAY_MS, 0) for day in days] == [False, False, True, True, True]
    assert [Injection("tracking_outage", 2).active(day * DAY_MS, 0) for day in days] == [
        False,
        False,
        True,
        False,
        False,
    ]
