"""Bad champion: a model that does harm is promoted by hand in a busy shop, and the clicks that it costs are counted.

Arrives: a scenario, an open shop. Leaves: a `Damage`. Next: `benchmarks/loop.py` prints it.

Nobody takes the model back: the shop must see the harm in its own figures (`monitoring.probation`). The world tells
what was lost, since it knows the probability of each click.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from redis import Redis

from graphstore.progress import Progress
from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS
from sagestream.simulation.policies import ShopPolicy
from sagestream.simulation.run import Opened, Scenario
from sagestream.simulation.shop import Shop, copy_shop
from sagestream.simulation.traffic import Counts, Traffic
from stream.events import Interaction
from training.lifecycle import registry
from training.lifecycle.registry import ModelRow
from training.models.bundle import load_bundle, save_bundle
from training.models.recommender import Recommender

MINUTE_MS = 60_000
START_HOUR = 14
"""At this hour a shop is about as busy as on average, see `sagestream.simulation.latent_world`."""
BAD_SUFFIX = "-bad"

BadKind = Literal["inverted", "shuffled"]
"""Inverted: the worst items first. Shuffled: the items have changed places, as if the ids had been mixed up; recent
counts repair a part of it."""

BAD_KINDS: tuple[BadKind, ...] = get_args(BadKind)


@dataclass(frozen=True)
class Hours:
    """How long a good champion serves first, and how long a bad one at most."""

    good: float = 1.0
    bad: float = 3.0


@dataclass(frozen=True)
class Damage:
    """What a bad champion cost."""

    clicks_lost_share: float
    """The lost clicks as a share of a day's clicks."""
    rolled_back: bool
    """Whether the good champion came back by itself."""
    minutes: float
    """The time until then, or until the end."""
    clicks_a_day: float
    """With the good champion."""
    rate_kept: float
    """The rate of clicks while the bad champion served, in multiples of the good one's."""


def break_model(model: ModelRow, directory: Path, kind: BadKind, *, seed: int) -> ModelRow:
    """Write a broken copy of a model's bundle, and return its row. Its lists look right, and are not."""
    good = load_bundle(Path(model.bundle))
    order, blend = np.arange(good.num_items), good.blend
    if kind == "inverted":
        blend = dataclasses.replace(blend, scale=tuple(-scale for scale in blend.scale))
    else:
        order = np.random.default_rng(seed).permutation(order)
    bad = Recommender(
        model_version=f"{model.model_version}{BAD_SUFFIX}",
        kind=good.kind,
        as_of=good.as_of,
        repeats=good.repeats,
        item_ids=[good.item_ids[row] for row in order],
        item_keys=good.item_keys[order],
        available=good.available[order],
        terms=good.terms,
        blend=blend,
        encoder=good.encoder,
    )
    bundle = save_bundle(bad, directory, snapshot_id=model.snapshot_id, parent=None, metrics={}, config={})
    return dataclasses.replace(
        model, model_version=bad.model_version, status=registry.CANDIDATE, bundle=str(bundle), promoted_at=None
    )


def force_bad_champion(
    scenario: Scenario,
    opened: Opened,
    kind: BadKind,
    *,
    directory: Path,
    redis: Redis,
    hours: Hours,
    progress: Progress = lambda line, share: None,
) -> Damage:
    """Serve with a good champion, promote a broken model by hand, and serve until the good one is back.

    `directory` must not exist; Redis is emptied. Each minute the lists follow the events and the monitor looks.
    """
    world = scenario.world()
    traffic = Traffic(world, scenario.seed)
    traffic.remember(opened.past)
    start = world.opening + START_HOUR * HOUR_MS
    forced = start + round(hours.good * HOUR_MS)
    world.advance(start)
    redis.flushdb()
    copy_shop(opened.directory, directory)
    shop = Shop(directory, redis, scenario.config)
    try:
        policy = ShopPolicy("frozen", shop, world, now=start)
        minutes = _Minutes(scenario, policy, traffic, progress)
        good = minutes.serve(start, forced)
        model = shop.champion()
        shop.register(break_model(model, directory / "models", kind, seed=scenario.seed))
        shop.promote(f"{model.model_version}{BAD_SUFFIX}", now=forced)
        shop.publish(now=forced)
        bad, time = Counts(), forced
        last = forced + round(hours.bad * HOUR_MS)
        while time < last and shop.champion().model_version != model.model_version:
            bad.add(minutes.serve(time, time + MINUTE_MS))
            time += MINUTE_MS
        back = shop.champion().model_version == model.model_version
    finally:
        shop.close()
    rate = good.expected_clicks / good.shown
    shown_a_day = good.shown * DAY_MS / (hours.good * HOUR_MS)
    lost = rate * bad.shown - bad.expected_clicks
    return Damage(
        clicks_lost_share=lost / (rate * shown_a_day),
        rolled_back=back,
        minutes=(time - forced) / MINUTE_MS,
        clicks_a_day=rate * shown_a_day,
        rate_kept=bad.expected_clicks / bad.shown / rate,
    )


@dataclass(frozen=True)
class _Minutes:
    """The shop, minute by minute."""

    scenario: Scenario
    policy: ShopPolicy
    traffic: Traffic
    progress: Progress

    def serve(self, start: int, end: int) -> Counts:
        counts = Counts()
        for minute in range(start, end, MINUTE_MS):
            self.progress(f"minute {minute // MINUTE_MS % 1440}", (minute - start) / (end - start))
            events: list[Interaction] = []
            for visit in self.traffic.world.visits(minute, minute + MINUTE_MS):
                shown = self.policy.show(visit, self.traffic.owned(visit), k=self.scenario.list_length)
                left, truth = self.traffic.shop(visit, shown)
                events += left
                counts.add(truth)
            self.policy.learn(events, [], now=minute + MINUTE_MS)
        return counts
