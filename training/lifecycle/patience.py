"""Patience: the share and the time that a probation needs in a shop with this traffic.

Arrives: the click-through windows of the last days and the settings. Leaves: a `Change` with the share, the time and
the reason in plain words. Next: `training.lifecycle.registry` records it with the promotion.

A small shop cannot see in a week, with a tenth of its shoppers, whether a model does harm. It first gives the previous
champion a larger share, up to a fifth of the shoppers, and then more time.
"""

import json
import logging
from dataclasses import dataclass, replace
from math import sqrt

from sqlalchemy import Connection, select

from graphstore.tables import metric_windows
from training.config import TrainingConfig
from training.evaluation.sequential import Estimate, always_valid
from training.lifecycle.promotions import Change

logger = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
TRAFFIC_DAYS = 7
"""The traffic of the last days tells what comes: a week, because days of the week differ."""
LARGEST_SHARE = 0.2
"""What a small shop gives at most when the gate has judged the model. Half of the shoppers would see a fall that is a
fifth smaller, but two and a half times as many would miss a better model: in a simulated shop of 300 shoppers, the
recovery from a change of taste then takes a retrain longer (`benchmarks/loop.py`)."""
UNJUDGED_SHARE = 0.5
LONGEST = 4
"""A probation takes at most this many times the asked time."""
WANTED_FALL = 0.2
"""The relative fall of a rate that a probation is made to see. A larger one is seen sooner."""
MIXTURE_FALL = 0.5
"""The relative fall for which the intervals are made. By the formula of `always_valid`, a model that gets no click is
then seen after 37 % fewer impressions than with the wanted fall, and the wanted fall after 10 % more."""
ALPHA = 0.05
"""The probability that the interval of a rate ever misses the truth in a probation. Half of it is on the side of harm,
so the two rates (clicks, purchases) together give a false alarm in at most 5 % of the probations."""
DESIGN_EFFECT = 3.0
"""Clicks of one shopper are alike, so an impression counts for a third of an independent one. The plan assumes it; the
probation itself measures the error between shoppers. Measured: of simulated shoppers, three of four with a fifth of the
rate of the others, 82 to 83 % of the probations saw the told fall, with 600, 2,000 and 6,000 shoppers."""
POWER_Z = 0.84
"""The quantile of the normal distribution for 80 %: so often a fall of the told size is seen."""


@dataclass(frozen=True)
class Traffic:
    """Impressions a day, and the share of them with a click."""

    impressions_a_day: float
    ctr: float


@dataclass(frozen=True)
class Wish:
    """The settings: the share of the shoppers and the time (seconds). A share of 0 turns probations off."""

    share: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Patience:
    """The share and the time of a probation, the fall that it can see (None: none), and the reason in words."""

    share: float
    seconds: float
    visible_fall: float | None
    words: str


def probation_wish(config: TrainingConfig) -> Wish:
    """Return the wish of the settings."""
    return Wish(config.probation_share, config.probation_seconds)


def unjudged(wish: Wish) -> Wish:
    """Return the wish for a model that a person promotes: half of the shoppers keep the previous champion.

    No gate has judged it. With equal groups harm is seen soonest, and a bad model has only half of the shoppers.
    """
    return replace(wish, share=max(wish.share, UNJUDGED_SHARE)) if wish.share else wish


def change_of(connection: Connection, who: str, why: str, wish: Wish, *, now: int) -> Change:
    """Return the change with a probation as this shop's traffic allows it. `now` is epoch ms."""
    if wish.share == 0 or wish.seconds == 0:
        return Change(who, why)
    plan = patience(recent_traffic(connection, now=now), wish)
    logger.info("the probation after this promotion: %s", plan.words)
    return Change(who, why, plan.share, plan.seconds, {"plan": plan.words, "visible_fall": plan.visible_fall})


def recent_traffic(connection: Connection, *, now: int) -> Traffic:
    """Return the traffic of the last days, from the hours that `monitoring.counts` keeps (and not its days)."""
    oldest = now - round(TRAFFIC_DAYS * DAY_SECONDS * 1000)
    query = select(metric_windows.c.window_start, metric_windows.c.detail).where(
        metric_windows.c.metric == "ctr",
        metric_windows.c.segment == "all",
        metric_windows.c.window_end > oldest,
        metric_windows.c.window_end - metric_windows.c.window_start < round(DAY_SECONDS * 1000),
    )
    rows = [(start, json.loads(detail)) for start, detail in connection.execute(query)]
    shown = [(start, detail) for start, detail in rows if detail["impressions"]]
    if not shown:
        return Traffic(0.0, 0.0)
    impressions = sum(detail["impressions"] for _, detail in shown)
    # A new shop has not seven days yet. An hour at least, because the first minutes say little about a day.
    days = min(max((now - min(start for start, _ in shown)) / 1000 / DAY_SECONDS, 1 / 24), float(TRAFFIC_DAYS))
    return Traffic(impressions / days, sum(detail["clicks"] for _, detail in shown) / impressions)


def visible_fall(traffic: Traffic, *, share: float, seconds: float) -> float | None:
    """Return the relative fall of the rate that is seen with a probability of 80 %. None: not even a fall to zero."""
    impressions, rate = traffic.impressions_a_day * seconds / DAY_SECONDS, traffic.ctr
    if impressions <= 0 or not 0 < rate < 1 or not 0 < share < 1:
        return None
    variance = DESIGN_EFFECT * rate * (1 - rate)
    error = sqrt(variance / (impressions * share) + variance / (impressions * (1 - share)))
    radius = -always_valid(Estimate(0.0, error), alpha=ALPHA, expected=MIXTURE_FALL * rate).low
    fall = (radius + POWER_Z * error) / rate
    return fall if fall < 1 else None


def patience(traffic: Traffic, wish: Wish) -> Patience:
    """Return the smallest share, then the shortest time, that sees the expected fall; else the most that is allowed.

    Where even the most sees nothing, the wish stays as it is: more shoppers with an old model would buy nothing.
    """
    asked = _planned(traffic, wish.share, wish.seconds)
    if asked.visible_fall is not None and asked.visible_fall <= WANTED_FALL:
        return _told(asked, wish, traffic)
    most = max(wish.share, LARGEST_SHARE)
    plans = [asked, *(_planned(traffic, most, wish.seconds * times) for times in range(1, LONGEST + 1))]
    seen = [plan for plan in plans if plan.visible_fall is not None]
    enough = [plan for plan in seen if plan.visible_fall is not None and plan.visible_fall <= WANTED_FALL]
    return _told((enough or seen[-1:] or [asked])[0], wish, traffic)


def _planned(traffic: Traffic, share: float, seconds: float) -> Patience:
    return Patience(share, seconds, visible_fall(traffic, share=share, seconds=seconds), "")


def _told(plan: Patience, wish: Wish, traffic: Traffic) -> Patience:
    said = f"{plan.share:.0%} of the shoppers stay with the previous champion for at most {_days(plan.seconds)}"
    if (plan.share, plan.seconds) != (wish.share, wish.seconds):
        said += f" (asked: {wish.share:.0%} for {_days(wish.seconds)}, too little for this traffic)"
    known = f"{traffic.impressions_a_day:,.0f} items are shown a day, and {traffic.ctr:.2%} of them are clicked"
    if plan.visible_fall is None:
        said += f"; {known}: too little to see harm in this time, so only the time ends the probation"
    else:
        said += f"; {known}: a fall by {plan.visible_fall:.0%} or more will be seen"
    return replace(plan, words=said)


def _days(seconds: float) -> str:
    return f"{seconds / DAY_SECONDS:.3g} days" if seconds >= DAY_SECONDS else f"{seconds / 3600:.3g} hours"
