"""Policies without a shop: the oracle is the upper bound."""

import numpy as np
import pytest

from graphstore.retention import DAY_MS
from sagestream.simulation.policies import (
    IN_WORDS,
    POLICIES,
    Oracle,
    Policy,
    Popularity,
    UnknownPolicy,
    best,
    policy_name,
)
from sagestream.simulation.traffic import Counts, Traffic
from stream.events import EventType, Interaction, utc
from tests.sagestream.simulation.worlds import day_of, latent


def live(policy: Policy, traffic: Traffic) -> Counts:
    total = Counts()
    for day in range(4):
        for visit in day_of(traffic.world, day):
            total.add(traffic.shop(visit, policy.show(visit, traffic.owned(visit), k=10))[1])
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_beats_popularity(seed: int) -> None:
    past = list(latent(seed=seed).past())
    worlds = [latent(seed=seed), latent(seed=seed)]
    oracle = live(Oracle(worlds[0]), Traffic(worlds[0], seed))
    popular = live(Popularity(worlds[1], past), Traffic(worlds[1], seed))
    assert oracle.expected_clicks > 1.3 * popular.expected_clicks
    assert oracle.clicks > popular.clicks


def test_nobody_is_shown_what_cannot_be_bought() -> None:
    world = latent("catalogue_swap")
    visit = day_of(world, 2)[0]
    policies: list[Policy] = [Oracle(world), Popularity(world, list(latent("catalogue_swap").past()))]
    for policy in policies:
        rows = policy.show(visit, np.zeros(len(world.item_ids), dtype=np.bool_), k=60).rows
        assert world.available()[rows].all()
        assert len(rows) == world.available().sum()


def test_popularity_forgets() -> None:
    world = latent()
    first, second = np.flatnonzero(world.available())[:2]

    def click(item: int, time: int, number: int) -> Interaction:
        return Interaction(
            event_id=f"{number}",
            event_type=EventType.CLICK,
            user_id="u0",
            item_id=world.item_ids[item],
            event_time=utc(time),
        )

    policy = Popularity(world, [click(first, world.opening, 0), click(first, world.opening, 1)])
    visit = day_of(world, 0)[0]
    assert policy.show(visit, np.empty(0), k=1).rows.tolist() == [first]
    later = world.opening + 6 * DAY_MS
    policy.learn([click(second, later, 2)], [], now=later)
    assert policy.show(visit, np.empty(0), k=1).rows.tolist() == [second]


def test_ties_keep_the_order_of_rows() -> None:
    assert best(np.array([1.0, 2.0, 2.0, 0.0]), np.array([True, True, True, False]), 4).tolist() == [1, 2, 0]


def test_every_policy_is_told_in_words() -> None:
    assert set(IN_WORDS) == set(POLICIES) == {policy_name(name) for name in POLICIES}
    with pytest.raises(UnknownPolicy, match="no policy luck: there are frozen"):
        policy_name("luck")
