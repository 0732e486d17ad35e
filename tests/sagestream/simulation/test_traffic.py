"""Shoppers: what they do depends on what is shown, and what is recorded on the injection."""

from collections.abc import Callable

import numpy as np
import pytest

from graphstore.retention import DAY_MS
from sagestream.simulation.injections import Injection, InjectionName
from sagestream.simulation.traffic import BOT_TARGETS, Counts, Shown, Traffic
from sagestream.simulation.world import Visit
from stream.events import EventType, Interaction
from tests.sagestream.simulation.worlds import day_of, latent

Ranked = Callable[[Traffic, Visit], np.ndarray]


def wanted(traffic: Traffic, visit: Visit) -> np.ndarray:
    return np.argsort(-traffic.world.expected_appeal(visit, traffic.owned(visit)))


def unwanted(traffic: Traffic, visit: Visit) -> np.ndarray:
    return wanted(traffic, visit)[::-1]


def live(ranked: Ranked, *, seed: int = 0, name: InjectionName | None = None) -> tuple[list[Interaction], Counts]:
    """Three days of a shop."""
    world = latent(name, day=1)
    traffic = Traffic(world, seed, injection=Injection(name, 1) if name else None)
    events: list[Interaction] = []
    total = Counts()
    for day in range(3):
        for visit in day_of(world, day):
            left, counts = traffic.shop(visit, Shown(ranked(traffic, visit)[:10].copy(), f"r{visit.number}"))
            events += left
            total.add(counts)
    return events, total


def test_equal_seeds_give_equal_events() -> None:
    assert live(wanted) == live(wanted)
    assert live(wanted) != live(wanted, seed=1)


def test_clicks_depend_on_what_is_shown() -> None:
    good, bad = live(wanted)[1], live(unwanted)[1]
    assert good.shown == bad.shown
    assert good.clicks > 3 * bad.clicks
    assert good.expected_clicks > 3 * bad.expected_clicks
    assert good.revenue > bad.revenue


def test_clicks_depend_on_the_order() -> None:
    backwards = live(lambda traffic, visit: wanted(traffic, visit)[:10][::-1])[1]
    assert live(wanted)[1].expected_clicks > 1.1 * backwards.expected_clicks


def test_expected_clicks_are_the_mean_of_clicks() -> None:
    world = latent()
    visit = day_of(world, 0)[0]
    shown = Shown(np.arange(10))
    found = [Traffic(world, seed).shop(visit, shown)[1] for seed in range(3000)]
    assert np.mean([one.clicks for one in found]) == pytest.approx(found[0].expected_clicks, rel=0.15)


def test_positions_get_fewer_clicks_further_down() -> None:
    clicks = [event for event in live(wanted)[0] if event.event_type is EventType.CLICK]
    by_position = np.bincount([event.position for event in clicks if event.position is not None], minlength=10)
    assert by_position[:3].sum() > 2 * by_position[7:].sum()


def test_clicks_name_the_list_and_searches_do_not() -> None:
    events = live(wanted)[0]
    assert {event.request_id is None for event in events if event.event_type is EventType.VIEW} == {True}
    assert {event.request_id is None for event in events if event.event_type is EventType.CLICK} == {False}
    assert {event.request_id is None for event in events if event.event_type is EventType.PURCHASE} == {True, False}
    assert all((event.value is None) is (event.event_type is not EventType.PURCHASE) for event in events)


def test_the_past_is_remembered() -> None:
    world = latent()
    traffic = Traffic(world, 0)
    traffic.remember(world.past())
    bought = {(e.user_id, e.item_id) for e in latent().past() if e.event_type is EventType.PURCHASE}
    visits = [Visit(0, shopper, world.opening, 0) for shopper in range(len(world.user_ids))]
    remembered = {
        (world.user_ids[visit.shopper], world.item_ids[row])
        for visit in visits
        for row in np.flatnonzero(traffic.owned(visit))
    }
    assert remembered == bought


def test_an_outage_loses_events_but_no_clicks() -> None:
    (recorded, truth), (lost, same) = live(wanted), live(wanted, name="tracking_outage")
    assert truth == same
    assert 0.5 * len(recorded) < len(lost) < 0.8 * len(recorded)  # one of three days


def test_bots_click_a_few_items_as_often_as_everybody_else() -> None:
    world = latent("bots", day=1)
    traffic = Traffic(world, 0, injection=Injection("bots", 1))
    events = live(wanted)[0]
    assert list(traffic.bots(world.opening, world.opening + DAY_MS, events)) == []
    begin = world.opening + DAY_MS
    clicks = list(traffic.bots(begin, begin + DAY_MS, events))
    assert len(clicks) == len(events)
    assert len({event.item_id for event in clicks}) == BOT_TARGETS
    assert not {event.user_id for event in clicks} & set(world.user_ids)
    again = list(traffic.bots(begin + DAY_MS, begin + 2 * DAY_MS, events))
    assert {event.item_id for event in again} == {event.item_id for event in clicks}
    assert not {event.event_id for event in again} & {event.event_id for event in clicks}
