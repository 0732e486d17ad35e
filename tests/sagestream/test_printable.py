"""Nothing that comes from outside moves a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagestream.printable import printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        ("Zürich 日本 😀".encode(), "Zürich 日本 😀"),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        (b"\xff\xfe{", "\\xff\\xfe{"),
        ("right\u202eleft\u200b", "right\\u202eleft\\u200b"),
        ("a\nb\tc", "a\\nb\\tc"),
        (b"x" * 50, "x" * 10 + "…"),
        ("x" * 10, "x" * 10),
    ],
)
def test_what_is_shown(raw: bytes | str, shown: str) -> None:
    assert printable(raw, 10 if len(shown) <= 11 and "x" in shown else 100) == shown


@pytest.mark.slow
@given(st.one_of(st.binary(max_size=100), st.text(max_size=100)), st.integers(1, 50))
def test_whatever_comes_is_printable_and_bounded(raw: bytes | str, limit: int) -> None:
    shown = printable(raw, limit)
    assert shown.isprintable()
    assert len(shown) <= 10 * limit + 1
