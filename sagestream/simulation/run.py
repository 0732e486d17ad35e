"""Run: lets one policy keep a shop through all days of a world.

Arrives: a world, a policy's name, settings. Leaves: a `Course`, the truth about each span of time. Next:
`sagestream.simulation.figures` compares the courses of policies.

Each policy gets a world of its own, made anew from the same seed, and a copy of the same shop with the same first
champion. So all policies meet the same visits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from graphstore.progress import Progress
from graphstore.retention import DAY_MS
from graphstore.session import migrate
from graphstore.tables import HOUR_MS
from sagestream.simulation.injections import Injection
from sagestream.simulation.policies import Oracle, Policy, PolicyName, Popularity, ShopPolicy, Trained
from sagestream.simulation.shop import DATABASE, Shop, ShopConfig, copy_shop
from sagestream.simulation.traffic import Counts, Traffic
from sagestream.simulation.world import World
from stream.events import Interaction

STEP_MS = 3 * HOUR_MS
"""Events are stored, clicks measured and trainings begun at the end of each step."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated. `world` makes the world anew at each call."""

    world: Callable[[], World]
    config: ShopConfig
    days: int
    seed: int
    injection: Injection | None = None
    list_length: int = 10
    """Items that a shopper is shown."""


@dataclass(frozen=True)
class Span:
    """The truth about start <= time < end (epoch ms)."""

    start: int
    end: int
    counts: Counts


@dataclass
class Course:
    """How one policy did."""

    policy: PolicyName
    opening: int
    spans: list[Span] = field(default_factory=list)
    runs: list[Trained] = field(default_factory=list)

    def between(self, start: int, end: int) -> Counts:
        """Return the counts of the spans in start <= time < end (epoch ms)."""
        total = Counts()
        for span in self.spans:
            if start <= span.start and span.end <= end:
                total.add(span.counts)
        return total

    def total(self) -> Counts:
        """Return the counts of all days."""
        return self.between(self.opening, max((span.end for span in self.spans), default=self.opening))

    def days(self) -> list[Counts]:
        """Return the counts of each day."""
        last = max((span.end for span in self.spans), default=self.opening)
        return [self.between(begin, begin + DAY_MS) for begin in range(self.opening, last, DAY_MS)]


@dataclass(frozen=True)
class Opened:
    """A shop on the evening before day 0: the past is stored, and the first model is champion."""

    directory: Path
    past: Sequence[Interaction]


def open_shop(scenario: Scenario, directory: Path, redis: Redis) -> Opened:
    """Store the past of the world and train the first model. Raises the errors of `run_training`."""
    past = list(scenario.world().past())
    migrate(f"sqlite:///{directory.resolve() / DATABASE}")
    world = scenario.world()
    redis.flushdb()
    shop = Shop(directory, redis, scenario.config)
    try:
        shop.store(past, world.advance(world.opening), now=world.opening)
        shop.train("closed_form", "the first model", now=world.opening)
    finally:
        shop.close()
    return Opened(directory, past)


def simulate(
    scenario: Scenario,
    policy: PolicyName,
    opened: Opened,
    *,
    directory: Path,
    redis: Redis,
    progress: Progress = lambda line, share: None,
) -> Course:
    """Let one policy keep the shop through all days. `directory` must not exist; Redis is emptied.

    Raises the errors of the shop's parts, such as `redis.RedisError`.
    """
    world = scenario.world()
    traffic = Traffic(world, scenario.seed, injection=scenario.injection)
    traffic.remember(opened.past)
    world.advance(world.opening)
    if policy == "oracle":
        return _course(scenario, policy, Oracle(world), traffic, progress)
    if policy == "popularity":
        return _course(scenario, policy, Popularity(world, opened.past), traffic, progress)
    redis.flushdb()
    copy_shop(opened.directory, directory)
    shop = Shop(directory, redis, scenario.config)
    try:
        return _course(scenario, policy, ShopPolicy(policy, shop, world, now=world.opening), traffic, progress)
    finally:
        shop.close()


def _course(scenario: Scenario, name: PolicyName, policy: Policy, traffic: Traffic, progress: Progress) -> Course:
    world = traffic.world
    course = Course(name, world.opening)
    end = world.opening + scenario.days * DAY_MS
    for begin in range(world.opening, end, STEP_MS):
        day = (begin - world.opening) // DAY_MS
        progress(f"{name}, day {day + 1}", (begin - world.opening) / (end - world.opening))
        if changed := world.advance(begin):
            policy.learn([], changed, now=begin)
        events: list[Interaction] = []
        counts = Counts()
        for visit in world.visits(begin, begin + STEP_MS):
            shown = policy.show(visit, traffic.owned(visit), k=scenario.list_length)
            left, truth = traffic.shop(visit, shown)
            events += left
            counts.add(truth)
        events += traffic.bots(begin, begin + STEP_MS, events)
        course.spans.append(Span(begin, begin + STEP_MS, counts))
        policy.learn(events, [], now=begin + STEP_MS)
        if (done := policy.train(now=begin + STEP_MS)) is not None:
            course.runs.append(done)
    progress(f"{name}, {scenario.days} days", 1.0)
    return course
