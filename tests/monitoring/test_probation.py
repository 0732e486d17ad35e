"""A new champion on probation: harm is taken back and never returns, anything else passes."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from redis import Redis
from sqlalchemy import Engine, insert, select

from graphstore.redis.connection import open_redis
from graphstore.session import read, write
from graphstore.tables import EVENT_TYPES, attributions, impressions, models, retrain_requests
from monitoring import probation
from monitoring.config import MonitoringConfig
from monitoring.run import Monitor
from sagestream.playground.embedded import free_ports
from serving import cache
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.routing import Routing
from serving.source import ShopSource
from stream.config import PROBED_PROCESSES
from tests.sagestream.verbs.commands import environment
from tests.serving.toy import touch, toy_opened
from tests.waiting import wait_until
from training.evaluation.sequential import ClusterSums
from training.lifecycle import promotions, registry
from training.lifecycle.patience import MIXTURE_FALL, Traffic, visible_fall
from training.lifecycle.promotions import Change

NOON = 1_700_000_000_000
DAY_MS = 86_400_000
WEEK = 7 * 86_400.0
CLICK, PURCHASE = EVENT_TYPES.index("click"), EVENT_TYPES.index("purchase")


@pytest.fixture
def shop(engine: Engine) -> Engine:
    """m1 served; m2 was promoted at noon with a probation of a week."""
    with write(engine) as connection:
        for version in ("m1", "m2", "m3"):
            row = {"model_version": version, "kind": "closed_form", "status": "kept", "snapshot_id": "s"}
            connection.execute(insert(models).values(**row, bundle=version, created_at=0))
        registry.promote(connection, "m1", now=NOON - DAY_MS)
        registry.promote(connection, "m2", now=NOON, change=Change("gate, run r1", "better", 0.25, WEEK, {"plan": "x"}))
    return engine


def traffic(
    engine: Engine, variant: str, shoppers: int, *, clicked: float, bought: float = 0.0, time: int = NOON + 60_000
) -> None:
    """Each shopper of the variant sees four lists of five items; shares of the items are clicked and bought."""
    model = {"champion": "m2", "previous": "m1"}[variant]
    rng = np.random.default_rng(7)
    shown, done = [], []
    for shopper in range(shoppers):
        user = f"{variant}-{shopper}"
        for place in range(20):
            request = f"{user}-{time}-{place // 5}"
            row = {
                "request_id": request,
                "position": place % 5,
                "user_id": user,
                "item_id": f"i{place}",
                "slot": "home",
            }
            row |= {"event_time": time, "model_version": model, "variant": variant}
            shown.append(row | {"score": 1.0, "propensity": 1.0, "source": "batch"})
            for kind, share in ((CLICK, clicked), (PURCHASE, bought)):
                if rng.random() < share:
                    event = {"event_id": f"{request}-{place}-{kind}", "request_id": request, "position": place % 5}
                    done.append(event | {"event_type": kind, "event_time": time})
    with write(engine) as connection:
        connection.execute(insert(impressions), shown)
        if done:
            connection.execute(insert(attributions), done)


def newest(engine: Engine) -> promotions.Promotion:
    """The promotion that began the probation."""
    with read(engine) as connection:
        return next(row for row in promotions.list_promotions(connection) if row.to_version == "m2")


def champion(engine: Engine) -> str:
    with read(engine) as connection:
        found = registry.champion(connection)
    assert found
    return found.model_version


def test_without_a_probation_there_is_nothing_to_see(sqlite_engine: Engine) -> None:
    assert probation.watch(sqlite_engine, None, now=NOON) is None


def test_harm_is_taken_back_banned_and_told_and_never_returns(shop: Engine, caplog: pytest.LogCaptureFixture) -> None:
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    found = probation.watch(shop, None, now=NOON + DAY_MS)
    assert found and found.outcome == promotions.HARM
    assert champion(shop) == "m1"
    ended = newest(shop)
    assert (ended.outcome, ended.ended_at) == ("harm", NOON + DAY_MS)
    assert ended.detail["plan"] == "x"
    assert ended.detail["shoppers"] == {"new": 300, "previous": 100}
    assert ended.detail["impressions"] == {"new": 6_000, "previous": 2_000}
    assert -1 <= ended.detail["low"] < ended.detail["lift"] < ended.detail["high"] < 0
    with read(shop) as connection:
        assert registry.get_model(connection, "m2").banned_at == NOON + DAY_MS
        back = promotions.list_promotions(connection)[0]
        assert (back.action, back.who, back.to_version, back.probation_until) == ("rollback", "probation", "m1", None)
        (asked,) = connection.execute(select(retrain_requests)).all()
        assert asked.requested_by == "probation"
        assert asked.reason.startswith("m2 did harm: ")
        assert (asked.full, asked.status) == (True, "waiting")
        figures = json.loads(asked.figures)["probation"]
        assert (figures["model_version"], figures["shoppers"]) == ("m2", {"new": 300, "previous": 100})
    (alarm,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "worse beyond chance" in alarm.getMessage()
    assert probation.watch(shop, None, now=NOON + DAY_MS + 1) is None
    with write(shop) as connection:
        registry.promote(connection, "m3", now=NOON + 2 * DAY_MS)
        assert registry.rollback(connection, now=NOON + 2 * DAY_MS).model_version == "m1"
        with pytest.raises(registry.BannedModel):
            registry.promote(connection, "m2", now=NOON + 3 * DAY_MS)
        with pytest.raises(registry.NoChampion):
            registry.rollback(connection, now=NOON + 3 * DAY_MS)


def test_fewer_purchases_are_harm_although_clicks_are_more(shop: Engine) -> None:
    traffic(shop, "champion", 300, clicked=0.12, bought=0.001)
    traffic(shop, "previous", 150, clicked=0.10, bought=0.04)
    found = probation.watch(shop, None, now=NOON + DAY_MS)
    assert found and (found.outcome, champion(shop)) == (promotions.HARM, "m1")
    assert "were bought" in found.words


def test_the_traffic_before_the_promotion_says_what_to_expect(shop: Engine) -> None:
    traffic(shop, "champion", 30, clicked=0.1)
    traffic(shop, "previous", 30, clicked=0.1)
    with write(shop) as connection:
        row = {"request_id": "before", "position": 0, "user_id": "ann", "item_id": "i", "slot": "home", "source": "x"}
        row |= {"event_time": NOON - 5, "model_version": "m1", "variant": "champion", "score": 1.0, "propensity": 1.0}
        connection.execute(insert(impressions), [row, row | {"position": 1}])
        event = {"event_id": "e", "request_id": "before", "position": 0, "event_type": CLICK, "event_time": NOON}
        connection.execute(insert(attributions), event)
    found = probation.watch(shop, None, now=NOON + DAY_MS)
    assert found and found.detail["expected"] == {"ctr": 0.25}  # half of the rate; nobody has bought anything
    assert found.rates["conversion"].high is None


def test_a_better_model_passes_before_the_end(shop: Engine) -> None:
    traffic(shop, "champion", 300, clicked=0.15, bought=0.01)
    traffic(shop, "previous", 100, clicked=0.05, bought=0.005)
    found = probation.watch(shop, None, now=NOON + DAY_MS)
    assert found and (found.outcome, champion(shop)) == (promotions.PASSED, "m2")
    assert newest(shop).detail["low"] > 0
    assert "better beyond chance" in found.words


def test_a_model_that_is_as_good_passes_at_the_end_and_its_lift_is_kept(shop: Engine) -> None:
    traffic(shop, "champion", 200, clicked=0.1)
    traffic(shop, "previous", 100, clicked=0.1)
    during = probation.watch(shop, None, now=NOON + DAY_MS)
    assert during and during.outcome is None
    assert newest(shop).detail["low"] < 0 < newest(shop).detail["high"]
    expected = newest(shop).detail["expected"]
    after = probation.watch(shop, None, now=NOON + 7 * DAY_MS)
    assert after and after.outcome == promotions.PASSED
    assert newest(shop).detail["expected"] == expected  # chosen once, at the first look
    assert champion(shop) == "m2"


def test_without_traffic_the_time_ends_it(shop: Engine) -> None:
    traffic(shop, "champion", 30, clicked=0.9)
    traffic(shop, "previous", 19, clicked=0.0)  # too few to be judged
    during = probation.watch(shop, None, now=NOON + DAY_MS)
    assert during and (during.outcome, "lift" in during.detail) == (None, False)
    after = probation.watch(shop, None, now=NOON + 7 * DAY_MS)
    assert after and after.outcome == promotions.EXPIRED
    assert "too little to compare" in newest(shop).detail["words"]


def test_a_look_at_a_champion_that_was_changed_meanwhile_changes_nothing(shop: Engine) -> None:
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    with read(shop) as connection:
        found = probation.look(connection, now=NOON + DAY_MS)
    assert found and found.outcome == promotions.HARM
    with write(shop) as connection:
        registry.promote(connection, "m3", now=NOON + DAY_MS)
        assert not probation.act(connection, found, now=NOON + DAY_MS)
    assert champion(shop) == "m3"
    assert newest(shop).outcome == promotions.SUPERSEDED
    with read(shop) as connection:
        assert registry.get_model(connection, "m2").banned_at is None


def test_harm_without_a_way_back_is_told(shop: Engine, caplog: pytest.LogCaptureFixture) -> None:
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    with write(shop) as connection:
        registry.ban(connection, "m1", now=NOON)
    found = probation.watch(shop, None, now=NOON + DAY_MS)
    assert found and (found.outcome, champion(shop)) == (promotions.HARM, "m2")
    assert "a harmful champion serves on, promote another" in caplog.text


def test_readers_have_the_previous_model_back_within_a_second(shop: Engine, redis: Redis, tmp_path: Path) -> None:
    """The lists of both models live, so one write of the pointer is enough. The reader caches it, as a web process."""
    touch(shop, "ann", "apple", NOON)
    publisher = Publisher(ShopSource(shop), redis, ServingConfig(), load=toy_opened())
    assert len(publisher.reconcile(now=lambda: NOON)) == 2
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    reader = cache.ListReader(redis)
    users = [f"u{number}" for number in range(50)]
    assert {found.model_version for user in users if (found := reader.assign(user, "home"))} == {"m1", "m2"}
    monitor = Monitor(shop, config=MonitoringConfig(), state_dir=tmp_path, redis=redis)
    found = monitor.watch_probation(now=NOON + DAY_MS)
    assert found and found.outcome == promotions.HARM
    assert cache.served(redis) == cache.Served("m1", Routing((), "m1"))
    wait_until(lambda: reader.champion() == "m1", seconds=1.0)
    assert {found.variant for user in users if (found := reader.assign(user, "home"))} == {"champion"}


@pytest.mark.kill
def test_a_monitor_of_its_own_takes_harm_back_and_readers_follow(
    shop: Engine, database_url: str, redis: Redis, redis_url: str, tmp_path: Path
) -> None:
    """The process as it is deployed measures, rolls back and switches. Then it is killed, and nothing changes."""
    touch(shop, "ann", "apple", NOON)
    Publisher(ShopSource(shop), redis, ServingConfig(), load=toy_opened()).reconcile(now=lambda: NOON)
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STATE_DIR": str(tmp_path)}
    settings |= {"MONITOR_INTERVAL_SECONDS": "0.1", "PROBE_PORT": str(free_ports(len(PROBED_PROCESSES)))}
    command = [sys.executable, "-m", "sagestream", "monitor"]
    with (tmp_path / "log").open("w") as log:
        monitor = subprocess.Popen(command, env={**os.environ, **environment(settings)}, stderr=log)
        try:
            reader = cache.ListReader(redis)
            wait_until(lambda: reader.champion() == "m1", told=(tmp_path / "log").read_text)
        finally:
            monitor.kill()
            monitor.wait()
    assert champion(shop) == "m1"
    assert newest(shop).outcome == promotions.HARM
    assert "ERROR" in (tmp_path / "log").read_text()
    assert probation.watch(shop, redis, now=NOON + DAY_MS) is None


def test_redis_that_is_away_delays_readers_only(shop: Engine, caplog: pytest.LogCaptureFixture) -> None:
    traffic(shop, "champion", 300, clicked=0.02)
    traffic(shop, "previous", 100, clicked=0.10)
    away = open_redis("redis://127.0.0.1:1/0")
    found = probation.watch(shop, away, now=NOON + DAY_MS)
    assert found and (found.outcome, champion(shop)) == (promotions.HARM, "m1")
    assert "readers follow the registry when the publisher reaches Redis" in caplog.text


def harmful_runs(fall: float, *, runs: int, looks: int, arriving: int) -> float:
    """The share of the runs in which any look sees harm. At each look more shoppers have come, and old ones again.

    A tenth is with the previous model. Shoppers differ: three of four click 2 % of the items, the others 10 %.
    """
    rng = np.random.default_rng(5)
    harm = 0
    for _ in range(runs):
        arms = []
        for share, factor in ((0.9, 1.0 - fall), (0.1, 1.0)):
            shoppers = round(arriving * looks * share)
            first = np.arange(shoppers) * looks // shoppers
            items = rng.poisson(6, (looks, shoppers)) * (first <= np.arange(looks)[:, None])
            mood = rng.choice([0.02, 0.02, 0.02, 0.1], shoppers) * factor
            clicks, buys = rng.binomial(items, mood).cumsum(axis=0), rng.binomial(items, mood / 10).cumsum(axis=0)
            items = items.cumsum(axis=0)
            arms.append(
                [
                    {"ctr": ClusterSums.of(clicks[n], items[n]), "conversion": ClusterSums.of(buys[n], items[n])}
                    for n in range(looks)
                ]
            )
        expected = {"ctr": MIXTURE_FALL * 0.04, "conversion": MIXTURE_FALL * 0.004}
        rates = (
            rate for new, old in zip(*arms, strict=True) for rate in probation.compare(new, old, expected).values()
        )
        harm += any(rate.harmful for rate in rates)
    return harm / runs


@pytest.mark.slow
def test_a_sound_model_is_seldom_taken_back_and_a_broken_one_is() -> None:
    assert harmful_runs(0.0, runs=200, looks=20, arriving=100) <= 0.05
    assert harmful_runs(0.5, runs=20, looks=20, arriving=100) == 1.0
    shown = 100 * 20 * 10.5 * 6  # a shopper comes to half of the looks, and sees six items
    told = visible_fall(Traffic(shown / 7, 0.04), share=0.1, seconds=WEEK)
    assert told and harmful_runs(told, runs=40, looks=20, arriving=100) > 0.7  # the plan says 80 %


def test_looks_take_a_twentieth_of_the_time(sqlite_engine: Engine, tmp_path: Path) -> None:
    ticks = iter([0.0, 2.0, 41.9, 42.0, 43.0])
    looked = []
    monitor = Monitor(sqlite_engine, config=MonitoringConfig(), state_dir=tmp_path, timer=lambda: next(ticks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monitoring.run.watch", lambda *_, now: looked.append(now))
        for now in (1, 2, 3):
            monitor.watch_probation(now=now)
    assert looked == [1, 3]
