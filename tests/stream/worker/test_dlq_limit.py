"""The bound on bad input: when it stops, and where."""

import random

import pytest

from stream.worker.dlq_limit import MIN_SEEN, DlqLimit


def test_nothing_is_told_of_few_messages() -> None:
    bound = DlqLimit(share=0.5, window=1000)
    assert bound.excess(MIN_SEEN - 1, range(MIN_SEEN - 1)) is None
    bound.add(MIN_SEEN - 1, range(MIN_SEEN - 1))
    excess = bound.excess(1, [])  # a good one, with which there is enough for a verdict
    assert excess is not None
    assert excess == ((MIN_SEEN - 1) / MIN_SEEN, MIN_SEEN, 0)


def test_the_share_itself_is_allowed_and_one_more_is_not() -> None:
    bound = DlqLimit(share=0.5, window=1000)
    half = range(1, 400, 2)
    assert bound.excess(400, half) is None
    bound.add(400, half)
    assert bound.excess(1, [0]) == (201 / 401, 401, 0)


def test_a_batch_is_judged_by_its_worst_moment() -> None:
    bound = DlqLimit(share=0.5, window=100)
    bound.add(100, [])
    bad = range(200, 260)
    assert bound.excess(1000, bad) == (0.51, 100, 250)


def test_bad_messages_leave_the_window() -> None:
    bound = DlqLimit(share=0.5, window=100)
    for _ in range(50):
        assert bound.excess(100, range(50)) is None
        bound.add(100, range(50))
    assert bound.bad <= 100


def test_looking_changes_nothing() -> None:
    bound = DlqLimit(share=0.5, window=100)
    bound.add(100, range(50))
    assert bound.excess(100, range(100)) == bound.excess(100, range(100))
    assert bound.excess(10, []) is None


def test_a_share_of_one_never_stops() -> None:
    bound = DlqLimit(share=1.0, window=100)
    for _ in range(10):
        assert bound.excess(1000, range(1000)) is None
        bound.add(1000, range(1000))


@pytest.mark.parametrize("seed", range(20))
def test_as_a_plain_sliding_window_says_it(seed: int) -> None:
    rng = random.Random(seed)
    share, window = rng.choice([0.05, 0.3, 0.5, 0.9]), rng.choice([100, 150, 400])
    bound, history = DlqLimit(share=share, window=window), list[bool]()
    for _ in range(30):
        total = rng.randrange(1, 300)
        rate = rng.choice([0.0, share / 2, share, min(2 * share, 1)])
        flags = [rng.random() < rate for _ in range(total)]
        bad = [index for index, is_bad in enumerate(flags) if is_bad]
        expected = None
        for index in range(total):
            seen = (history + flags[: index + 1])[-window:]
            if len(seen) >= MIN_SEEN and sum(seen) > share * len(seen):
                expected = (sum(seen) / len(seen), len(seen), index)
                break
        assert bound.excess(total, bad) == expected
        if expected is None:
            bound.add(total, bad)
            history += flags
