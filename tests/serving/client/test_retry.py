from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.client import BadRequest, KeyRefused, Retry, ServerError, Unavailable, UnexpectedAnswer
from serving.client.call import Repeat
from serving.client.errors import error_of, retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(
    tried=st.integers(1, 200), spent=st.floats(0, 100), draw=st.floats(0, 1), told=st.none() | st.floats(0, 100),
    patience=st.floats(0, 100), most=st.floats(0.01, 50),
)  # fmt: skip
def test_a_pause_is_at_least_the_servers_word_and_ends_within_the_patience(
    tried: int, spent: float, draw: float, told: float | None, patience: float, most: float
) -> None:
    retry = Retry(tries=150, most_seconds=most, patience_seconds=patience)
    error = Unavailable("away", retry_after=told)
    pause = retry.pause(error, Repeat.FREELY, tried=tried, spent=spent, draw=draw)
    if pause is None:
        assert tried >= 150 or spent + (told or 0) + most > patience
    else:
        assert (told or 0) <= pause <= (told or 0) + most
        assert spent + pause <= patience


def test_what_will_fail_again_is_not_tried_again() -> None:
    for error in (BadRequest("no"), KeyRefused("no"), ServerError("no"), UnexpectedAnswer("no")):
        assert Retry().pause(error, Repeat.FREELY, tried=1, spent=0, draw=1) is None
    assert Retry(tries=1).pause(Unavailable("away"), Repeat.FREELY, tried=1, spent=0, draw=1) is None


def test_the_pause_doubles_and_is_bounded() -> None:
    retry = Retry(first_seconds=1, most_seconds=5)
    assert [retry.backoff(tried, draw=1.0) for tried in (1, 2, 3, 4, 5000)] == [1, 2, 4, 5, 5]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("3", 3.0), ("9" * 400, 999999999.0), ("soon", None), ("-1", None), ("", None),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0), ("Sun, 01 Mar 2020 12:00:30 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
    ],
)  # fmt: skip
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=NOW) == seconds


@given(status=st.integers(300, 599), body=st.binary(max_size=60))
def test_every_answer_that_is_no_success_is_an_error_of_ours(status: int, body: bytes) -> None:
    error = error_of(status, {}, body, now=NOW)
    assert error.status in (status, None)
    assert getattr(error, "untouched", False) is (status in (429, 503))
