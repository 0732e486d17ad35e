"""`score --engine ray` as it is called: the file of one process, whoever makes it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from graphstore.snapshots.snapshot import build_snapshot
from sagestream import extras
from sagestream.playground.embedded import LOOPBACK, free_port
from tests.sagestream.verbs.commands import pipe, run
from tests.training.ray_workers import needs_ray
from tests.training.toy_shop import shop_on_disk
from training.config import TrainingConfig
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.options import TrainingOptions

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path) -> dict[str, str]:
    """Settings of a shop of 40 shoppers with a champion and a snapshot."""
    spec, options = RunSpec("closed_form", "test"), TrainingOptions(seed=0)
    with shop_on_disk(tmp_path / "state", days=12) as (graph, engine, now):
        run_training(engine, spec, graph=graph, config=TrainingConfig(), now=lambda: now, options=options)
        build_snapshot(engine, graph.snapshots_dir, as_of=now, created_at=now, featurize=featurize)
    return {"STATE_DIR": str(graph.state_dir)}


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a cluster of two nodes, whose token this process has."""
    for name, value in (("RAY_AUTH_MODE", "token"), ("RAY_AUTH_TOKEN", "5" * 64), ("RAY_USAGE_STATS_ENABLED", "0")):
        monkeypatch.setenv(name, value)
    cluster = subprocess.Popen(
        [sys.executable, "-m", "tests.sagestream.verbs.ray_nodes"],
        cwd=ROOT,
        env=os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert cluster.stdin is not None and cluster.stdout is not None
    address = cluster.stdout.readline().strip()
    assert address
    yield address
    cluster.communicate("", timeout=60)


def expected(shop: dict[str, str], tmp_path: Path) -> bytes:
    """What one process writes."""
    out = tmp_path / "one.jsonl"
    assert run("score", "--out", str(out), "--block-users", "7", settings=shop).code == 0
    return out.read_bytes()


@needs_ray
def test_an_own_ray_writes_the_file_of_one_process(shop: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "ray.jsonl"
    words = ("score", "--out", str(out), "--block-users", "7", "--engine", "ray", "--workers", "2", "--json")
    done = pipe(b"", *words, settings=shop)
    assert done.code == 0, done.err
    assert out.read_bytes() == expected(shop, tmp_path)
    assert sum(worker["tasks"] for worker in done.json["workers"]) == 6
    assert list(done.json["peak_rss_mb_by_node"]) == [LOOPBACK]
    assert f"{LOOPBACK}: peak memory" in done.err


@needs_ray
def test_a_cluster_of_two_nodes_writes_the_file_of_one_process(
    shop: dict[str, str], tmp_path: Path, two_nodes: str
) -> None:
    out = tmp_path / "ray.jsonl"
    words = ("score", "--out", str(out), "--block-users", "7", "--engine", "ray", "--address", two_nodes, "--json")
    done = pipe(b"", *words, "--part", "1/2", settings=shop)
    assert done.code == 0, done.err
    lines = expected(shop, tmp_path).splitlines(keepends=True)
    assert out.read_bytes() == b"".join(lines[:21])
    assert (done.json["part"], done.json["users"]) == ("1/2", 21)
    assert {worker["peak_rss_mb"] > 50 for worker in done.json["workers"]} == {True}


def test_what_cannot_be_scored_so_is_told(
    shop: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("score", "--out", str(tmp_path / "out.jsonl"))
    for wrong, hint in (
        (("--engine", "dask"), "--engine"),
        (("--address", "auto"), "--address"),
        (("--workers", "2"), "--workers"),
        (("--engine", "ray", "--workers", "0"), "--workers"),
        (("--engine", "ray", "--workers", "2", "--address", "auto"), "--workers"),
        (("--engine", "ray", "--address", "ray://head:10001"), "--address"),
    ):
        done = run(*words, *wrong, settings=shop)
        assert (done.code, hint in done.err) == (2, True), wrong
    away = f"{LOOPBACK}:{free_port()}"
    if find_spec("ray"):
        done = run(*words, "--engine", "ray", "--address", away, settings=shop)
        assert (done.code, type(done.error).__name__) == (1, "RayAway")
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else find_spec(name))
    done = run(*words, "--engine", "ray", settings=shop)
    assert str(done.error) == 'ray is not installed: pip install ".[ray]"'
    assert not list(tmp_path.glob("*out*"))
