"""What verbs print on a terminal of 80 columns, with content as long as it comes: whole words, no longer line."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from redis import Redis
from rich.cells import cell_len

from graphstore.catalogue import Item
from graphstore.erase import erase_person
from graphstore.redis import item_store
from graphstore.session import migrate, now_ms, open_engine, write
from graphstore.upserts import ImpressionRow, insert_impressions
from sagestream.playground.embedded import LOOPBACK, free_port, free_ports
from stream.config import PROBED_PROCESSES
from tests.sagestream.verbs.commands import Done, run
from tests.serving.toy import ITEMS, fill_redis
from training.lifecycle import registry

WIDTH = 80
FIRST, SECOND = "m1764367261234-0", "m1764370861234-1"
REASONS = ["ndcg@20 0.1234 against 0.1198 of the champion", "its coverage of the catalogue is 0.71 of the champion's"]
SHOPPER = "household-with-a-rather-long-name-1234567890"
TITLE = "Organic fair-trade wholegrain breakfast cereal with dried Mediterranean figs, 750 g family pack"
SLOT = "checkout-below-the-basket"


@pytest.fixture
def shop(settings: dict[str, str], redis: Redis) -> dict[str, str]:
    """Two models, a run that failed, a served list, somebody forgotten, published lists."""
    url = f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}"
    migrate(url)
    engine, now = open_engine(url), now_ms()
    with write(engine) as connection:
        for version, parent, status in ((FIRST, None, "retired"), (SECOND, FIRST, "champion")):
            model = registry.ModelRow(
                model_version=version,
                kind="incremental",
                status=status,
                parent=parent,
                snapshot_id="s1764367261234-123456",
                bundle=f"models/{version}",
                metrics={"ndcg@20": 0.123456, "recall@20": 0.234567},
                gate={"verdict": "promoted", "reasons": REASONS},
                seconds=12.3,
                created_at=now,
            )
            registry.register(connection, model)
        trigger = "12,345 new events since the last run; monitoring: drift of the columns price and categories"
        registry.start_run(connection, "r1", kind="incremental", trigger=trigger, now=now - 5000)
        registry.finish_run(connection, "r1", status="failed", now=now, error=f"{REASONS[1]} [bold]")
        registry.start_run(connection, "r2", kind="incremental", trigger=trigger, now=now - 4000)
        registry.finish_run(connection, "r2", status="promoted", now=now, model_version=SECOND)
        impressions = [
            ImpressionRow("q1", position, SHOPPER, "i1", SLOT, now - 1000, SECOND, "champion", 1.0, 1.0, "nearline")
            for position in range(3)
        ]
        insert_impressions(connection, impressions)
    erase_person(engine, f"{SHOPPER}-2", now=now)
    engine.dispose()
    fill_redis(redis)
    item_store.set_items(
        redis, [*ITEMS[:-1], Item(ITEMS[-1].item_key, "0000123456789-elder", title=TITLE, price=12345.67)]
    )
    return settings | {"PROBE_PORT": str(free_ports(len(PROBED_PROCESSES))), "SERVE_PORT": str(free_port())}


def reads_well(done: Done, texts: Iterable[str], code: int = 0) -> None:
    assert (done.code, done.error) == (code, None)
    lines = done.out.splitlines()
    assert max(cell_len(line.rstrip()) for line in lines) <= WIDTH
    words = {word for line in lines for word in line.split()}
    assert not {word for text in texts for word in text.split()} - words


def test_the_registry(shop: dict[str, str]) -> None:
    listed = run("models", "list", settings=shop, columns=WIDTH)
    reads_well(listed, [FIRST, SECOND, "champion", "retired", *"; ".join(REASONS).split(), "0.1235", "0.2346"])
    wide = run("models", "list", settings=shop, columns=200)
    assert any(FIRST in line and "retired" in line and "│" in line for line in wide.out.splitlines())


def test_the_story_of_the_loop(shop: dict[str, str]) -> None:
    told = run("history", settings=shop, columns=WIDTH)
    reads_well(told, ["12,345 new events since the last run; monitoring: drift", SECOND, REASONS[1], "[bold]", "5.0"])


def test_click_through(shop: dict[str, str]) -> None:
    reads_well(run("report", settings=shop, columns=WIDTH), ["impressions", f"slot:{SLOT}", "0.00%", "no drift report"])


def test_lists_and_similar_items(shop: dict[str, str]) -> None:
    reads_well(
        run("recommend", "ann", settings=shop, columns=WIDTH), [TITLE, "0000123456789-elder", "12345.67", "ann:"]
    )
    reads_well(run("similar", "apple", settings=shop, columns=WIDTH), ["Bread", "Cheese", "apple,"])


def test_the_doctor(shop: dict[str, str]) -> None:
    away = shop | {"REDIS_URL": f"redis://{LOOPBACK}:{free_port()}/0"}
    found = run("doctor", settings=away, columns=WIDTH)
    reads_well(found, ["SAGESTREAM_REDIS_URL", "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS", "answers:", "`sagestream"], code=1)


def test_who_was_forgotten(shop: dict[str, str]) -> None:
    reads_well(run("forget", "--list", settings=shop, columns=WIDTH), [f"{SHOPPER}-2", "no: run it again"])
