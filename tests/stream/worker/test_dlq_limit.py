"""The bound on bad input: when it holds a topic, where, for how long, and that no one sender can reach it."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from stream.worker.dlq_limit import (
    HOLD_FIRST_SECONDS,
    HOLD_MAX_SECONDS,
    MIN_SEEN,
    WINDOW_SECONDS,
    BadMessage,
    DlqLimit,
)

NOW = 1_767_600_000_000


def of_many(indices: Iterable[int]) -> list[BadMessage]:
    """Each of another sender."""
    return [BadMessage(index, random.randbytes(8)) for index in indices]


def test_nothing_is_told_of_few_messages() -> None:
    bound = DlqLimit(share=0.5, window=1000)
    few = of_many(range(MIN_SEEN - 1))
    assert bound.excess(MIN_SEEN - 1, few, now=NOW) is None
    bound.add(MIN_SEEN - 1, few, now=NOW)
    excess = bound.excess(1, [], now=NOW)  # a good one, with which there is enough for a verdict
    assert excess is not None
    assert excess == ((MIN_SEEN - 1) / MIN_SEEN, MIN_SEEN, 0)


def test_the_share_itself_is_allowed_and_one_more_is_not() -> None:
    bound = DlqLimit(share=0.5, window=1000)
    half = of_many(range(1, 400, 2))
    assert bound.excess(400, half, now=NOW) is None
    bound.add(400, half, now=NOW)
    assert bound.excess(1, of_many([0]), now=NOW) == (201 / 401, 401, 0)


def test_a_batch_is_judged_by_its_worst_moment() -> None:
    bound = DlqLimit(share=0.5, window=100)
    bound.add(100, [], now=NOW)
    assert bound.excess(1000, of_many(range(200, 260)), now=NOW) == (0.51, 100, 250)


def test_bad_messages_leave_the_window() -> None:
    bound = DlqLimit(share=0.5, window=100)
    for _ in range(50):
        assert bound.excess(100, of_many(range(50)), now=NOW) is None
        bound.add(100, of_many(range(50)), now=NOW)
    assert bound.bad <= 100


def test_a_bad_message_counts_for_a_bounded_time() -> None:
    bound = DlqLimit(share=0.5)
    bound.add(160, of_many(range(80)), now=NOW)
    later = NOW + int(WINDOW_SECONDS * 1000)
    assert bound.excess(1, of_many([0]), now=later - 1) is not None
    assert bound.excess(1, of_many([0]), now=later) is None


def test_looking_changes_nothing() -> None:
    bound = DlqLimit(share=0.5, window=100)
    bound.add(100, of_many(range(50)), now=NOW)
    bad = of_many(range(100))
    assert bound.excess(100, bad, now=NOW) == bound.excess(100, bad, now=NOW)
    assert bound.excess(10, [], now=NOW) is None


def test_a_share_of_one_never_stops() -> None:
    bound = DlqLimit(share=1.0, window=100)
    for _ in range(10):
        assert bound.excess(1000, of_many(range(1000)), now=NOW) is None
        bound.add(1000, of_many(range(1000)), now=NOW)


@pytest.mark.parametrize("share", [0.005, 0.05, 0.5, 0.99])
def test_no_one_sender_can_fill_the_share(share: float) -> None:
    for senders in (
        [BadMessage(index, b"u1") for index in range(5_000)],
        [BadMessage(index, None) for index in range(5_000)],
        [BadMessage(index, b"%d" % index, b"serve") for index in range(5_000)],
    ):
        bound = DlqLimit(share=share)
        bound.add(400, [], now=NOW)
        assert bound.excess(5_000, senders, now=NOW) is None
        bound.add(5_000, senders, now=NOW)
        assert bound.bad == bound.bad_of_one_sender


def test_the_messages_of_one_bad_sender_do_not_hide_the_others() -> None:
    bound = DlqLimit(share=0.5)
    flood = [BadMessage(index, b"u1") for index in range(5_000)]
    bound.add(5_000, flood, now=NOW)
    excess = bound.excess(200, of_many(range(200)), now=NOW)
    assert excess is not None
    assert (excess.share, excess.at) == (1.0, MIN_SEEN - bound.bad_of_one_sender - 1)


def test_a_hold_grows_while_it_does_not_help_and_forgets_the_window() -> None:
    bound, now, holds = DlqLimit(share=0.5), NOW, []
    for _ in range(6):
        bound.add(99, of_many(range(99)), now=now)
        holds.append(bound.hold(now=now))
        assert bound.bad == 0
        assert bound.excess(MIN_SEEN - 1, of_many(range(MIN_SEEN - 1)), now=now) is None
        now += int(holds[-1] * 1000)
    assert holds == [min(HOLD_FIRST_SECONDS * 2**n, HOLD_MAX_SECONDS) for n in range(6)]
    assert bound.hold(now=now + int(WINDOW_SECONDS * 1000) + 1) == HOLD_FIRST_SECONDS


@pytest.mark.parametrize("seed", range(20))
def test_as_a_plain_sliding_window_says_it(seed: int) -> None:
    rng = random.Random(seed)
    share, window = rng.choice([0.05, 0.3, 0.5, 0.9]), rng.choice([100, 150, 400])
    senders = rng.choice([3, 30, 10**9])
    bound, history = DlqLimit(share=share, window=window), list[bytes | None]()
    for _ in range(30):
        total = rng.randrange(1, 300)
        rate = rng.choice([0.0, share / 2, share, min(2 * share, 1)])
        batch = [b"%d" % rng.randrange(senders) if rng.random() < rate else None for _ in range(total)]
        bad = [BadMessage(index, key) for index, key in enumerate(batch) if key is not None]
        expected, plain = None, history.copy()
        for index, key in enumerate(batch):
            # the window as it is when this message has come, and whether its sender fills it already
            before = Counter(plain[len(plain) - window + 1 :] if len(plain) >= window else plain)
            if key is not None and before[key] >= bound.bad_of_one_sender:
                continue
            plain.append(key)
            seen = plain[-window:]
            share_bad = sum(one is not None for one in seen)
            if expected is None and len(seen) >= MIN_SEEN and share_bad > share * len(seen):
                expected = (share_bad / len(seen), len(seen), index)
        assert bound.excess(total, bad, now=NOW) == expected
        if expected is None:
            bound.add(total, bad, now=NOW)
            history = plain
