"""Parts divide what there is: no row twice, no row left out, whatever the numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.export.block_lists import count_blocks, rows_of_part
from training.export.parts import WHOLE, NoPart, Part

COUNTS = st.integers(1, 40)


@given(total=st.integers(0, 500), count=COUNTS)
def test_the_parts_follow_each_other_and_differ_by_one_at_most(total: int, count: int) -> None:
    parts = [Part(number, count).of(total) for number in range(1, count + 1)]
    assert [index for part in parts for index in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(num_users=st.integers(0, 500), block_users=st.integers(1, 60), count=COUNTS)
def test_the_rows_of_the_parts_are_all_rows_in_whole_blocks(num_users: int, block_users: int, count: int) -> None:
    rows = [rows_of_part(Part(number, count), num_users, block_users) for number in range(1, count + 1)]
    assert [row for part in rows for row in part] == list(range(num_users))
    assert all(part.start % block_users == 0 for part in rows if part)
    assert rows_of_part(WHOLE, num_users, block_users) == range(num_users)
    assert count_blocks(num_users, block_users) == len(range(0, num_users, block_users))


def test_a_part_is_written_as_it_is_read() -> None:
    assert Part.parse("3/8") == Part(3, 8)
    assert str(Part(3, 8)) == "3/8"
    assert Part.parse("1/1") == WHOLE


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0/8", "no part 0 of 8: the parts are 1/8 to 8/8"),
        ("9/8", "no part 9 of 8"),
        ("1/0", "between 1 and 100,000"),
        ("1/100001", "between 1 and 100,000"),
        ("a/b", "such as 3/8"),
        ("3", "such as 3/8"),
        ("", "such as 3/8"),
        ("-1/8", "such as 3/8"),
        ("1/8/2", "such as 3/8"),
        (" 1/8", "such as 3/8"),
        ("٣/٨", "such as 3/8"),
        ("1/99999999999999999999", "such as 3/8"),
    ],
)
def test_what_is_no_part_is_told(text: str, told: str) -> None:
    with pytest.raises(NoPart, match=told):
        Part.parse(text)
