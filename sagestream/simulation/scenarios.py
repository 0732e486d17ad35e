"""Scenarios: a simulation of a made-up shop, or of the shop of a data set, at the right scale.

Arrives: sizes or an `EventTable`, and the settings of the environment. Leaves: a `Scenario`. Next:
`sagestream.simulation.run`.
"""

from dataclasses import dataclass

from graphstore.retention import DAY_MS
from sagestream.simulation.future_world import FutureWorld
from sagestream.simulation.injections import Injection
from sagestream.simulation.latent_world import LatentSize, LatentWorld
from sagestream.simulation.run import Scenario
from sagestream.simulation.scale import scaled
from sagestream.simulation.shop import ShopConfig
from stream.sources.table import EventTable

EVENTS_A_VISIT = 2.2
"""Recorded events of a visit to the made-up shop, about."""
LIVE_EVENTS = 1.3
"""Events a day in the simulation, in multiples of those in the data: clicks on lists come in addition, about."""


@dataclass(frozen=True)
class Plan:
    """What every simulation needs, whatever its world."""

    days: int
    seed: int
    config: ShopConfig
    """Of the environment. It is fitted to the size of the shop."""
    injection: Injection | None = None
    list_length: int = 10


def made_up(size: LatentSize, plan: Plan) -> Scenario:
    """Return the scenario of a made-up shop."""
    return Scenario(
        lambda: LatentWorld(size, seed=plan.seed, injection=plan.injection),
        scaled(plan.config, events_a_day=size.shoppers * size.visits_per_day * EVENTS_A_VISIT),
        days=plan.days,
        seed=plan.seed,
        injection=plan.injection,
        list_length=plan.list_length,
    )


def of_data(table: EventTable, plan: Plan) -> Scenario:
    """Return the scenario of a shop with the shoppers of a data set. Raises `TooShort`."""
    world = FutureWorld(table, days=plan.days, seed=plan.seed, injection=plan.injection)
    times = table.interactions["event_time"]
    span_days = max((int(times.iloc[-1]) - int(times.iloc[0])) / DAY_MS, 1.0)
    return Scenario(
        world.anew,
        scaled(plan.config, events_a_day=LIVE_EVENTS * len(table) / span_days),
        days=plan.days,
        seed=plan.seed,
        injection=plan.injection,
        list_length=plan.list_length,
    )
