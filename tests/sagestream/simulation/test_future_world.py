"""Shoppers who want what they really bought later."""

import numpy as np
import pytest

from graphstore.retention import DAY_MS
from sagestream.simulation.future_world import HORIZON_DAYS, FutureWorld, TooShort
from sagestream.simulation.injections import Injection, InjectionName
from stream.events import milliseconds
from tests.sagestream.simulation.worlds import day_of, table

DAYS = 5


def world(name: InjectionName | None = None) -> FutureWorld:
    made = FutureWorld(table(), days=DAYS, seed=0, injection=Injection(name, 2) if name else None)
    made.advance(made.opening)
    return made


def nothing(made: FutureWorld) -> np.ndarray:
    return np.zeros(len(made.item_ids), dtype=np.bool_)


def test_past_and_future_part_at_the_opening() -> None:
    made = world()
    past = list(made.past())
    assert max(milliseconds(event.event_time) for event in past) < made.opening
    visits = made.visits(made.opening, made.opening + 1000 * DAY_MS)
    assert len(visits) == 12 * (DAYS + HORIZON_DAYS)
    assert len({visit.number for visit in visits}) == len(visits)


def test_what_is_bought_soon_appeals_most() -> None:
    made = world()
    for visit in day_of(made, 0):
        shopper = int(made.user_ids[visit.shopper][1:])
        day = (visit.time - table().interactions["event_time"].iloc[0]) // DAY_MS
        appeal = made.appeal(visit, nothing(made))
        names = [made.item_ids[row] for row in np.argsort(-appeal, kind="stable")]
        assert set(names[:2]) >= {f"i{shopper % 10}", f"i{(shopper + day) % 10}"}
        assert appeal[made.item_ids.index(f"i{(shopper + day + 5) % 10}")] < appeal.max()


def test_organic_finds_come_from_the_basket_and_leave_out_what_was_bought() -> None:
    made, rng = world(), np.random.default_rng(0)
    visit = day_of(made, 0)[3]
    found = {item for _ in range(50) for item in made.organic(visit, nothing(made), [], rng)}
    assert 1 <= len(found) <= 2
    bought = [found.pop()]
    assert all(not set(made.organic(visit, nothing(made), bought, rng)) & set(bought) for _ in range(50))


def test_a_taste_shift_gives_most_shoppers_the_future_of_another() -> None:
    quiet, shifted = world(), world("taste_shift")
    for day, changed in ((1, False), (3, True)):
        pairs = [
            np.array_equal(quiet.appeal(visit, nothing(quiet)), shifted.appeal(visit, nothing(shifted)))
            for visit, _ in zip(day_of(quiet, day), day_of(shifted, day), strict=True)
        ]
        assert bool(np.mean(pairs) < 0.7) is changed


def test_swapped_items_come_back_under_new_ids_with_the_same_wants() -> None:
    quiet, swapped = world(), world("catalogue_swap")
    day_of(quiet, 3), day_of(swapped, 3)
    assert quiet.available().sum() == swapped.available().sum() == 10
    assert sum(swapped.item_ids[row].endswith("-again") for row in np.flatnonzero(swapped.available())) == 5
    visit = day_of(swapped, 3)[0]
    assert np.sort(swapped.appeal(visit, nothing(swapped)))[-10:] == pytest.approx(
        np.sort(quiet.appeal(visit, nothing(quiet)))
    )


@pytest.mark.parametrize("name", ["price_shock", "season"])
def test_wants_weaken_only_after_the_day(name: InjectionName) -> None:
    quiet, changed = world(), world(name)
    early, late = day_of(quiet, 1)[0], day_of(quiet, 3)[0]
    changed.advance(changed.opening + DAY_MS)
    quiet.advance(quiet.opening + DAY_MS)
    assert changed.appeal(early, nothing(changed)) == pytest.approx(quiet.appeal(early, nothing(quiet)))
    changed.advance(changed.opening + 3 * DAY_MS)
    quiet.advance(quiet.opening + 3 * DAY_MS)
    assert changed.appeal(late, nothing(changed)).sum() < quiet.appeal(late, nothing(quiet)).sum()


def test_prices_rise_and_are_announced() -> None:
    shock = world("price_shock")
    told = shock.advance(shock.opening + 2 * DAY_MS)
    assert told
    assert {item.price for item in told} == {9.0}


def test_too_little_past_is_refused() -> None:
    with pytest.raises(TooShort, match="simulate fewer days"):
        FutureWorld(table(days=30), days=10, seed=0)
