"""The made-up world: equal by seed, and injections do what they say."""

import dataclasses

import numpy as np
import pytest

from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS
from sagestream.simulation.latent_world import DEARER, OWNED, LatentWorld
from sagestream.simulation.world import Visit
from stream.events import EventType
from tests.sagestream.simulation.worlds import SIZE, day_of, latent

NOTHING = np.zeros(SIZE.items, dtype=np.bool_)


def appeals(world: LatentWorld, day: int) -> np.ndarray:
    return np.array([world.expected_appeal(visit, NOTHING) for visit in day_of(world, day)])


def test_equal_seeds_give_equal_pasts_and_visits_and_other_seeds_others() -> None:
    one, same, other = latent(), latent(), latent(seed=1)
    assert list(one.past()) == list(same.past())
    assert day_of(one, 1) == day_of(same, 1)
    assert day_of(one, 1) != day_of(other, 1)


def test_the_past_lies_before_the_opening_in_order() -> None:
    world = latent()
    past = list(world.past())
    times = [event.event_time.timestamp() * 1000 for event in past]
    assert {event.event_type for event in past} == {EventType.VIEW, EventType.PURCHASE}
    assert max(times) < world.opening
    assert len({event.event_id for event in past}) == len(past)


def test_a_shop_is_busier_in_the_evening_and_at_the_weekend() -> None:
    world = latent(size=dataclasses.replace(SIZE, shoppers=500, days=7, arrivals=0.0))
    visits = [visit for day in range(7) for hour in range(0, 24, 3) for visit in _hours(world, day, hour)]
    hours = np.array([visit.time // HOUR_MS % 24 for visit in visits])
    assert (hours >= 18).sum() > 2 * (hours < 6).sum()
    days = np.bincount([(visit.time - world.opening) // DAY_MS for visit in visits])  # the opening is a Monday
    assert days[5:].mean() > 1.1 * days[:5].mean()


def _hours(world: LatentWorld, day: int, hour: int) -> list[Visit]:
    start = world.opening + day * DAY_MS + hour * HOUR_MS
    return world.visits(start, start + 3 * HOUR_MS)


def test_items_and_shoppers_arrive() -> None:
    world = latent()
    first = world.available().sum()
    world.advance(world.opening + (SIZE.days - 1) * DAY_MS)
    assert first < world.available().sum() <= SIZE.items
    assert len({v.shopper for v in day_of(world, 0)} | {v.shopper for v in day_of(world, 5)}) > 10


def test_only_what_changed_is_announced() -> None:
    world = latent()
    assert world.advance(world.opening) == []
    later = world.advance(world.opening + 5 * DAY_MS)
    assert {item.item_id for item in later} == {
        world.item_ids[row] for row in np.flatnonzero(world.available() & ~latent().available())
    }


def test_the_need_of_a_visit_and_what_is_owned_decide() -> None:
    world = latent()
    visits = day_of(world, 0)
    for visit in visits[:5]:
        appeal = world.appeal(visit, NOTHING)
        assert ((appeal >= 0) & (appeal <= 1)).all()
        assert (appeal[~world.available()] == 0).all()
        everything = world.appeal(visit, ~NOTHING)
        there = world.available()
        assert (everything[there] < OWNED * appeal[there] + 0.003).all()
    one = visits[0]
    wants = [world.appeal(dataclasses.replace(one, need=need), NOTHING) for need in range(SIZE.categories)]
    assert len({int(np.argmax(appeal)) for appeal in wants}) > 1


def test_the_expected_appeal_is_the_mean_over_needs() -> None:
    world = latent(size=dataclasses.replace(SIZE, shoppers=1, visits_per_day=2000.0, arrivals=0.0))
    visits = day_of(world, 0)
    mean = np.mean([world.appeal(visit, NOTHING) for visit in visits], axis=0)
    assert mean == pytest.approx(world.expected_appeal(visits[0], NOTHING), abs=0.03)


def test_a_taste_shift_changes_tastes_on_its_day_and_not_before() -> None:
    quiet, shifted = latent(), latent("taste_shift")
    assert appeals(quiet, 1) == pytest.approx(appeals(shifted, 1))
    before, after = appeals(quiet, 2), appeals(shifted, 2)
    count = min(len(before), len(after))
    changed = ~np.isclose(before[:count], after[:count]).all(axis=1)
    assert 0.6 < changed.mean() < 1.0


def test_a_season_moves_demand_and_goes_on_moving() -> None:
    quiet, season = latent(), latent("season")
    assert appeals(quiet, 1) == pytest.approx(appeals(season, 1))
    shares = []
    for day in (3, 5):
        needs = np.bincount([visit.need for visit in day_of(season, day)], minlength=SIZE.categories)
        usual = np.bincount([visit.need for visit in day_of(quiet, day)], minlength=SIZE.categories)
        shares.append(np.abs(needs / needs.sum() - usual / usual.sum()).sum())
    assert min(shares) > 0.1


def test_a_swap_replaces_half_of_the_catalogue() -> None:
    world = latent("catalogue_swap")
    before = world.available().copy()
    told = world.advance(world.opening + 2 * DAY_MS)
    after = world.available()
    gone = before & ~after
    new = np.flatnonzero(after & ~before)
    assert 0.3 * before.sum() < gone.sum() <= SIZE.items // 2
    assert (new >= SIZE.items).sum() == SIZE.items // 2
    left_out = {item.item_id for item in told if not item.available}
    assert left_out == {world.item_ids[row] for row in np.flatnonzero(gone)}


def test_a_price_shock_makes_categories_dearer_and_less_wanted() -> None:
    quiet, shock = latent(), latent("price_shock")
    usual, before = quiet.prices().copy(), shock.prices().copy()
    assert usual == pytest.approx(before)
    old, new = appeals(quiet, 2), appeals(shock, 2)
    dearer = shock.prices() > usual
    assert shock.prices()[dearer] == pytest.approx(DEARER * usual[dearer])
    assert 0.2 < dearer.mean() < 0.8
    seen = dearer & shock.available()
    assert (new[:, seen] < old[:, seen]).all()
