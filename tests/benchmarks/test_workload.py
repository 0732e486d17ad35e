"""Events of the size and the unevenness that are claimed, and the same ones from the same seed."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.workload import ShopSize, Workload, mean_bytes, span_ms
from stream.events import Interaction, decode, encode, milliseconds, utc

BEGIN = 1_767_600_000_000


def made(count: int, seed: int = 1, **shop: int) -> list[Interaction]:
    return list(Workload(np.random.default_rng(seed), ShopSize(**shop), begin=BEGIN).events(count))


def test_two_hundred_bytes() -> None:
    assert 190 <= mean_bytes() <= 210


def test_events_are_of_the_contract_and_in_the_order_of_their_time() -> None:
    events = made(3_000)
    later = utc(BEGIN + span_ms(3_000))
    assert [decode(encode(event), Interaction, now=later) for event in events] == events
    assert all(first.event_time <= second.event_time for first, second in pairwise(events))
    assert milliseconds(events[0].event_time) == BEGIN
    assert later > events[-1].event_time


@pytest.mark.slow
def test_ids_are_random_and_the_shop_is_always_the_same() -> None:
    first, again, other = made(500), made(500), made(500, seed=2)
    assert first == again
    assert len({event.event_id for event in first + other}) == 1_000
    users = {event.user_id for event in made(20_000, users=50)}
    assert users == {event.user_id for event in made(20_000, seed=2, users=50)}
    assert len(users) == 50


def test_some_items_are_far_more_popular_than_others() -> None:
    counts = Counter(event.item_id for event in made(20_000, items=1_000))
    by_rank = [count for _, count in counts.most_common()]
    share_of_first_tenth = sum(by_rank[:100]) / 20_000
    assert share_of_first_tenth == pytest.approx(0.57, abs=0.05)
