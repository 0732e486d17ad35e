"""Lists that the workers of a Ray make are those of one process, bit for bit, whatever dies on the way."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from graphstore.config import GraphstoreConfig
from sagestream.playground.embedded import LOOPBACK, free_port
from serving import cache, ray_process
from serving.config import ServingConfig
from serving.publication import ListLimits, MakeLists, publish
from serving.publisher import TROUBLE, Publisher, PublishingInterrupted, in_this_process, run_publisher
from serving.ranker import SinceTraining
from serving.ray_lists import BlockTask, ListsJob, make_block
from serving.ray_process import RayEngine
from stream.config import StreamConfig
from stream.liveness import Liveness
from tests.serving.real_shop import SECRET, SHOPPERS, RealShop, real_shop
from tests.training.ray_workers import OF_RAY_KILLS, hang_once, killed_worker
from tests.waiting import wait_until
from training.cluster.ray_cluster import local_ray
from training.cluster.ray_tasks import RayFailed
from training.cluster.shared_files import SharedFiles
from training.process import SpawnedProcessFailed

pytestmark = OF_RAY_KILLS

BLOCK_USERS = 7
BLOCKS = 6
FATAL = 3
"""The block whose worker is killed."""


def marker(job: ListsJob) -> Path:
    return job.files.paths[0].parents[1] / "pid"


def hold(job: ListsJob, task: BlockTask) -> list[bytes]:
    """Make a block; the first worker of the fatal one leaves its pid in a file and works without an end."""
    done = make_block(job, task)
    if task[0] == FATAL:
        hang_once(marker(job))
    return done


def hang(job: ListsJob, task: BlockTask) -> list[bytes]:
    """Make a block; the first worker leaves its pid in a file and works without an end."""
    hang_once(marker(job))
    return make_block(job, task)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealShop]:
    """A shop whose database the environment names: that of this process, of a Ray, and of its workers."""
    with real_shop(tmp_path_factory.mktemp("shop")) as shop, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAGESTREAM_DATABASE_URL", shop.url)
        yield shop


@pytest.fixture(scope="module")
def cluster(shop: RealShop) -> Iterator[str]:
    """The address of a Ray of two workers."""
    with local_ray(2):
        import ray

        yield ray.get_runtime_context().gcs_address


@pytest.fixture
def pid(shop: RealShop) -> Iterator[Path]:
    """The file where a worker that hangs leaves its pid."""
    file = marker(shop.job())
    yield file
    file.unlink(missing_ok=True)


def published(shop: RealShop, redis: Redis, make: MakeLists | None) -> dict[bytes, bytes | None]:
    """What a publication in blocks of seven writes of its model."""
    redis.flushall()
    ranker = shop.ranker()
    SinceTraining.read(ranker, shop.source).tell(ranker)
    publish(ranker, shop.source, redis, ListLimits(6, 3, BLOCK_USERS), as_of=shop.as_of, make=make)
    return {key: redis.dump(key) for key in redis.scan_iter() if cache.version_of(key) is not None}


def test_two_workers_publish_what_one_process_does_also_when_one_is_killed(
    shop: RealShop, redis: Redis, cluster: str, pid: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = published(shop, redis, None)
    with caplog.at_level(logging.INFO), killed_worker(pid):
        made = published(shop, redis, partial(RayEngine(cluster, make=hold).lists, shop.job()))
    assert made == expected
    assert len(list(redis.scan_iter(f"recs:{shop.bundle.name}:*"))) == SHOPPERS
    (line,) = [record.message for record in caplog.records if record.name == "serving.ray_process"]
    assert line.startswith(f"{shop.bundle.name} by a Ray, {LOOPBACK}: peak memory ")
    assert line.endswith(f", {BLOCKS} tasks")
    assert SECRET not in caplog.text


class Watched(Liveness):
    """Does something at the third look while a worker makes a block. A look of the publisher is a beat."""

    def __init__(self, pid: Path, act: Callable[[], None]) -> None:
        super().__init__()
        self._pid, self._act, self._looks = pid, act, 0

    def beat(self, doing: str = "working", *, within_seconds: float = 0.0) -> None:
        super().beat(doing, within_seconds=within_seconds)
        self._looks += self._pid.exists()
        if self._looks == 3:
            self._act()


def opener() -> psutil.Process:
    """The process that has opened a Ray."""
    (found,) = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    return found


def test_a_publisher_that_is_stopped_while_a_block_is_made_ends_and_so_does_its_ray(
    shop: RealShop, redis: Redis, pid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    ours: list[psutil.Process] = []

    def stop_it() -> None:
        ours.extend([opener(), *opener().children(recursive=True)])
        stop.set()

    with tempfile.TemporaryDirectory(prefix="s-") as short:  # the path of a socket has a hundred characters at most
        monkeypatch.setattr(tempfile, "tempdir", short)
        engine, liveness = RayEngine(workers=1, make=hang), Watched(pid, stop_it)
        publisher = Publisher(shop.source, redis, ServingConfig(), ray=engine, stop=stop, liveness=liveness)
        with pytest.raises(PublishingInterrupted, match=f"stopped at 0 of {SHOPPERS} shoppers"):
            publisher.reconcile(now=lambda: shop.as_of)
        assert int(pid.read_text()) in {process.pid for process in ours}
        assert not psutil.wait_procs(ours, timeout=180)[1]
        assert not list(Path(short).iterdir())
    assert cache.champion(redis) is None


def test_a_ray_that_is_lost_is_an_error_and_the_next_try_publishes(
    shop: RealShop, redis: Redis, cluster: str, pid: Path
) -> None:
    engine, liveness = RayEngine(cluster, make=hang), Watched(pid, lambda: opener().kill())
    publisher = Publisher(shop.source, redis, ServingConfig(), ray=engine, liveness=liveness)
    with pytest.raises(RayFailed, match="the Ray that makes the lists: its process ended by SIGKILL") as lost:
        publisher.reconcile(now=lambda: shop.as_of)
    assert isinstance(lost.value, TROUBLE)
    assert cache.champion(redis) is None
    (done,) = publisher.reconcile(now=lambda: shop.as_of)
    assert done.users == SHOPPERS
    assert cache.champion(redis) == shop.bundle.name


def test_a_ray_that_brings_nothing_is_given_up(shop: RealShop, redis: Redis, cluster: str) -> None:
    with pytest.raises(RayFailed, match=f"no block of {shop.bundle.name} has come for 0 s"):
        published(shop, redis, partial(RayEngine(cluster, patience_seconds=0.0).lists, shop.job()))


def test_a_setting_names_the_ray_and_one_that_is_away_is_told(
    shop: RealShop, redis: Redis, redis_url: str, kafka_away: StreamConfig, caplog: pytest.LogCaptureFixture
) -> None:
    assert RayEngine.of("") is None
    assert RayEngine.of("2") == RayEngine(workers=2)
    assert RayEngine.of("auto") == RayEngine("auto")
    away = f"{LOOPBACK}:{free_port()}"
    graph, stop = GraphstoreConfig(redis_url=redis_url, database_url=shop.url), threading.Event()
    thread = threading.Thread(
        target=run_publisher,
        args=(ServingConfig(publisher_ray=away), graph, kafka_away, stop),
        kwargs={"load": in_this_process},
    )
    thread.start()
    try:
        said = f"RayFailed: the Ray that makes the lists: no Ray cluster takes this process at {away}"
        wait_until(lambda: said in caplog.text, told=lambda: caplog.text)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert "the champion could not be published, trying again" in caplog.text
    assert SECRET not in caplog.text
    assert cache.champion(redis) is None


def test_a_ray_that_does_not_close_costs_no_list(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In place of the process: one that makes a block and dies at the end."""

    class Dying:
        def __enter__(self) -> "Dying":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def call(self, function: Callable[..., Any], *_: Any, progress: Any) -> Any:
            if function is ray_process.end:
                raise SpawnedProcessFailed("died")
            return 0, [b"list"]

    monkeypatch.setattr(ray_process, "SpawnedProcess", Dying)
    job = ListsJob(SharedFiles((), ""), "m1", 1_000, 6, 10, since=None)  # type: ignore[arg-type]
    assert list(RayEngine(workers=1).lists(job, [[1]], lambda: None)) == [(0, [b"list"])]
    assert caplog.messages == ["the Ray that has made the lists of m1 did not close: died"]
