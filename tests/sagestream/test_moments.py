"""Times as one types them."""

from datetime import UTC, datetime, timedelta

import pytest

from sagestream.moments import parse_moment

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("2026-01-02 03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("90s", NOW - timedelta(seconds=90)),
        ("1.5h", NOW - timedelta(minutes=90)),
        (" 7d ", NOW - timedelta(days=7)),
    ],
)
def test_times_and_ages(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "-2h", "2y", "999999d 3", "2026-13-01", "1e9d", "999999999d"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a time"):
        parse_moment(text, NOW)


def test_an_age_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="before all time"):
        parse_moment("999999d", NOW)
