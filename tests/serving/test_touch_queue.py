from hypothesis import given
from hypothesis import strategies as st

from serving.touch_queue import Touch, TouchQueue

touches = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.builds(Touch, st.integers(0, 9), st.integers(0, 99))), max_size=30
)


@given(given=touches, count=st.integers(1, 5))
def test_every_shopper_comes_once_with_the_newest_times_and_the_last_announced_first(
    given: list[tuple[str, Touch]], count: int
) -> None:
    queue = TouchQueue()
    for user, touch in given:
        queue.add({user: touch})
    taken: list[tuple[str, Touch]] = []
    while queue:
        batch = queue.take(count)
        assert 1 <= len(batch) <= count
        taken += batch.items()
    assert len({user for user, _ in taken}) == len(taken)
    for user, touch in taken:
        own = [one for name, one in given if name == user]
        assert touch == Touch(max(one.event_time for one in own), max(one.announced_at for one in own))
    assert {user for user, _ in taken} == {user for user, _ in given}
    times = [touch.announced_at for _, touch in taken]
    assert times == sorted(times, reverse=True)


def test_who_comes_while_others_wait_goes_before_them() -> None:
    queue = TouchQueue()
    queue.add({f"early{n}": Touch(n, n) for n in range(10)})
    assert list(queue.take(2)) == ["early9", "early8"]
    queue.add({"late": Touch(50, 50)})
    assert list(queue.take(2)) == ["late", "early7"]
    assert len(queue) == 7
