"""Probation: compares a new champion with the previous one on live traffic, and takes a harmful one back.

Arrives: the running probation in `promotions`, and the impressions and attributed clicks of both models. Leaves: the
measured lift in `promotions.detail`. If the new champion does harm: a rollback, a banned version, a request for a full
retrain, and an alarm. Next: `serving.switch` lets readers follow at once, `training.lifecycle.scheduler` retrains.

A shopper stays with one of the two models (`serving.routing`), so the shoppers are two random groups. The rates are
clicks and purchases for each shown item; their differences are clustered by shopper. Each rate has an interval that is
valid at every look (`training.evaluation.sequential`), so a model without a fault is taken back in at most 5 % of the
probations, however often the monitor looks.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Connection, Engine

from graphstore.errors import reason
from graphstore.session import read, write
from monitoring import metrics
from monitoring.shopper_sums import CONVERSION, CTR, RATES, Sums, shopper_sums
from monitoring.triggers.hold import held, left_out
from monitoring.windows import TimeWindow
from serving.routing import CHAMPION_VARIANT, PREVIOUS_VARIANT
from serving.switch import follow
from training.evaluation.sequential import ClusterSums, always_valid, ratio_difference
from training.lifecycle import registry
from training.lifecycle.patience import ALPHA, MIXTURE_FALL
from training.lifecycle.promotions import (
    EXPIRED,
    HARM,
    PASSED,
    Change,
    Promotion,
    end_probation,
    note,
    running_probation,
)

logger = logging.getLogger(__name__)

WHO = "probation"
MIN_SHOPPERS = 20
"""Each model needs this many shoppers before it is judged: a standard error of fewer says little."""
BEFORE_MS = 7 * 86_400_000
"""The rates of this time before the promotion say how large a difference to expect."""


@dataclass(frozen=True)
class Rate:
    """One rate of both models. The interval is of the difference, new minus previous; its ends are None if infinite."""

    new: float
    previous: float
    difference: float
    low: float | None
    high: float | None

    @property
    def harmful(self) -> bool:
        """Return whether the new model is worse beyond chance."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Look:
    """What a look at a probation found. `outcome` is None while it goes on."""

    probation: Promotion
    rates: dict[str, Rate]
    outcome: str | None
    words: str
    detail: dict[str, Any]
    """For `promotions.detail`."""


def look(connection: Connection, *, now: int) -> Look | None:
    """Measure the running probation. Return None when there is none. `now` is epoch ms."""
    probation = running_probation(connection)
    if probation is None or probation.from_version is None or probation.probation_until is None:
        return None
    span = TimeWindow(probation.at, now + 1)
    # While tracking was broken, clicks vanished on both sides: those hours say nothing, and do not use up the time.
    gaps = left_out(connection, since=probation.at - BEFORE_MS, now=now)
    models = {CHAMPION_VARIANT: probation.to_version, PREVIOUS_VARIANT: probation.from_version}
    sums = shopper_sums(connection, models, start=span.start, end=span.end, without=gaps)
    new, old = sums[CHAMPION_VARIANT], sums[PREVIOUS_VARIANT]
    expected = _expected(connection, probation, new, old, gaps)
    rates = compare(new, old, expected)
    until = probation.probation_until + sum(max(min(gap.end, now) - max(gap.start, probation.at), 0) for gap in gaps)
    outcome, words = _judged(rates, probation, over=now >= until)
    detail = probation.detail | {
        "expected": expected,
        "measured_at": now,
        "shoppers": {"new": new[CTR].clusters, "previous": old[CTR].clusters},
        "impressions": {"new": round(new[CTR].bottom), "previous": round(old[CTR].bottom)},
        "clicks": {"new": round(new[CTR].top), "previous": round(old[CTR].top)},
        "purchases": {"new": round(new[CONVERSION].top), "previous": round(old[CONVERSION].top)},
        "rates": {name: vars(rate) for name, rate in rates.items()},
        "words": words,
    }
    return Look(probation, rates, outcome, words, detail | _lift(rates[CTR]))


def compare(new: Sums, old: Sums, expected: dict[str, float]) -> dict[str, Rate]:
    """Return both rates with intervals for the expected sizes of a difference. A rate without one has no interval."""
    return {name: _rate(new[name], old[name], expected.get(name)) for name in RATES}


def act(connection: Connection, found: Look, *, now: int) -> bool:
    """Record the look and do what its outcome asks for, in the caller's transaction.

    Return False, and change nothing, when the probation has ended meanwhile, because the champion was changed.
    """
    key = found.probation.promotion_key
    if found.outcome is None:
        return note(connection, key, found.detail)
    if not end_probation(connection, key, found.outcome, found.detail, now=now):
        return False
    if found.outcome == HARM:
        _take_back(connection, found, now=now)
    return True


def watch(engine: Engine, redis: Redis | None, *, now: int) -> Look | None:
    """Look at the running probation, act, and let readers follow at once. Return the look, or None without a probation.

    While a tracking outage lasts, nothing is judged, and None is returned.

    Args:
        engine: The database. Its errors are raised.
        redis: Where readers find the pointer. With None, or while it is unreachable, the publisher switches.
        now: The time, epoch ms.
    """
    with read(engine) as connection:
        if held(connection):
            return None
        found = look(connection, now=now)
    metrics.show_probation(found.rates if found else {})
    if found is None:
        return None
    with write(engine) as connection:
        if not act(connection, found, now=now):
            return None
    if found.outcome is None:
        return found
    metrics.PROBATIONS.labels(found.outcome).inc()
    if found.outcome == HARM:
        logger.error("the new champion did harm and was taken back: %s", found.words)
    else:
        logger.info("the probation of %s has ended: %s", found.probation.to_version, found.words)
    _follow(engine, redis, now=now)
    return found


def _follow(engine: Engine, redis: Redis | None, *, now: int) -> None:
    if redis is None:
        return
    try:
        follow(engine, redis, now=now)
    except RedisError as error:
        logger.warning("readers follow the registry when the publisher reaches Redis: %s", reason(error))


def _expected(
    connection: Connection, probation: Promotion, new: Sums, old: Sums, gaps: Sequence[TimeWindow]
) -> dict[str, float]:
    """Return the difference for which each rate's interval is made. It is chosen once, and stored by the caller.

    It comes from the traffic before the promotion. A shop without any takes the mean of both models at the first look
    that compares them, which says almost nothing about their difference. A rate without any event is left out.
    """
    expected: dict[str, float] = dict(probation.detail.get("expected", {}))
    missing = {*RATES} - expected.keys()
    if not missing:
        return expected
    span = TimeWindow(probation.at - BEFORE_MS, probation.at)
    models = {CHAMPION_VARIANT: probation.from_version}
    before = shopper_sums(connection, models, start=span.start, end=span.end, without=gaps)[CHAMPION_VARIANT]
    for name in missing:
        rate = before[name].ratio().value
        if rate == 0 and _comparable(new[name], old[name]):
            rate = (new[name].ratio().value + old[name].ratio().value) / 2
        if rate > 0:
            expected[name] = MIXTURE_FALL * rate
    return expected


def _comparable(mine: ClusterSums, theirs: ClusterSums) -> bool:
    return min(mine.clusters, theirs.clusters) >= MIN_SHOPPERS


def _rate(mine: ClusterSums, theirs: ClusterSums, expected: float | None) -> Rate:
    values = (mine.ratio().value, theirs.ratio().value)
    if expected is None or not _comparable(mine, theirs):
        return Rate(*values, values[0] - values[1], None, None)
    estimate = ratio_difference(mine, theirs)
    interval = always_valid(estimate, alpha=ALPHA, expected=expected)
    low, high = (end if isfinite(end) else None for end in (interval.low, interval.high))
    return Rate(*values, estimate.value, low, high)


def _judged(rates: dict[str, Rate], probation: Promotion, *, over: bool) -> tuple[str | None, str]:
    """Return the outcome and its words. Better clicks end a probation only if purchases are not fewer."""
    new, old = probation.to_version, probation.from_version
    names = {CTR: "clicked", CONVERSION: "bought"}
    said = "; ".join(
        f"of the items shown by {new}, {rate.new:.2%} were {names[name]}, by {old} {rate.previous:.2%}"
        for name, rate in rates.items()
        if name == CTR or rate.harmful
    )
    if any(rate.harmful for rate in rates.values()):
        return HARM, f"{said}: worse beyond chance"
    clicks = rates[CTR]
    if clicks.low is not None and clicks.low > 0 and rates[CONVERSION].difference >= 0:
        return PASSED, f"{said}: better beyond chance"
    if not over:
        return None, said
    if clicks.low is None:
        return EXPIRED, f"the time is over, and the traffic was too little to compare {new} with {old}"
    return PASSED, f"{said}: no harm was seen until the end of the time"


def _lift(clicks: Rate) -> dict[str, float]:
    """Return the difference of the click-through rates as a share of the previous one, with its interval, if known."""
    if clicks.low is None or clicks.high is None or clicks.previous <= 0:
        return {}
    values = {"lift": clicks.difference, "low": clicks.low, "high": clicks.high}
    return {name: max(value / clicks.previous, -1.0) for name, value in values.items()}  # no rate falls below zero


def _take_back(connection: Connection, found: Look, *, now: int) -> None:
    version = found.probation.to_version
    registry.ban(connection, version, now=now)
    try:
        registry.rollback(connection, now=now, change=Change(WHO, found.words))
    except registry.NoChampion as error:  # the previous one was banned or pruned meanwhile
        logger.error("a harmful champion serves on, promote another: %s", error)
    figures = {name: found.detail[name] for name in ("rates", "shoppers", "impressions", "clicks", "purchases")}
    registry.request_retrain(
        connection,
        reason=f"{version} did harm: {found.words}",
        requested_by=WHO,
        now=now,
        full=True,  # an update of the previous champion would learn the same events again
        figures={"probation": figures | {"model_version": version}},
    )
