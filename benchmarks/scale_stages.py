"""Scale stages: publishing and near-line work in a process of their own, so that seconds and memory are theirs alone.

Arrives: the name of a stage, settings in the environment, a champion in the registry. Leaves: JSON with the number of
lists and the CPU seconds without the start. Next: `benchmarks.scale`, which starts it as `python -m
benchmarks.scale_stages`.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from redis import Redis

from graphstore.config import GraphstoreConfig
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from serving.config import ServingConfig
from serving.nearline import NearLine
from serving.publisher import Publisher
from serving.source import ShopSource
from serving.touch_queue import Touch

NEARLINE_SHOPPERS = 2_000
BATCH = 100
"""So many shoppers are refreshed together, as in a busy minute."""

Figures = Mapping[str, float]
T = TypeVar("T")


@dataclass(frozen=True)
class SomeShoppers(ShopSource):
    """A shop that tells only some of its shoppers, for sizes at which all would take days. None: all of them."""

    shoppers: int | None = None

    def users(self) -> list[tuple[int, str]]:
        return spread(super().users(), self.shoppers)


def spread(ordered: Sequence[T], count: int | None) -> list[T]:
    """Return so many of them in equal steps, all without a count. The first shoppers of a shop are its busiest ones."""
    if count is None or count >= len(ordered):
        return [*ordered]
    return [ordered[number * len(ordered) // count] for number in range(count)]


def publish(source: ShopSource, redis: Redis) -> Figures:
    """Publish the champion's lists of the shoppers of the source."""
    begun = time.process_time()
    publications = Publisher(source, redis, ServingConfig()).reconcile()
    return {"lists": sum(one.users for one in publications), "cpu_seconds": time.process_time() - begun}


def nearline(source: ShopSource, redis: Redis) -> Figures:
    """Refresh the lists of some shoppers with the champion that is published."""
    near = NearLine(source, redis, ServingConfig())
    near.follow()
    shoppers = [user_id for _, user_id in islice(source.users(), NEARLINE_SHOPPERS)]
    begun, lists = time.process_time(), 0
    for start in range(0, len(shoppers), BATCH):
        now = now_ms()
        lists += near.refresh({user: Touch(now, now) for user in shoppers[start : start + BATCH]})
    return {"lists": lists, "cpu_seconds": time.process_time() - begun}


STAGES: Mapping[str, Callable[[ShopSource, Redis], Figures]] = {"publish": publish, "near-line": nearline}


def main() -> None:
    """Run one stage and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale_stages", description=__doc__.partition("\n")[0])
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--shoppers", type=int, help="how many shoppers the shop has for this stage")
    options = parser.parse_args()
    graph = GraphstoreConfig()
    engine = open_engine(graph.sqlalchemy_url)
    with open_redis(graph.redis_url) as redis:
        print(json.dumps(STAGES[options.stage](SomeShoppers(engine, shoppers=options.shoppers), redis)))
    engine.dispose()


if __name__ == "__main__":
    main()
