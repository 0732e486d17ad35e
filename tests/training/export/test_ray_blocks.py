"""Lists that the workers of a Ray make are those of one process, bit for bit, also when a worker is killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from graphstore.config import GraphstoreConfig
from graphstore.session import write
from graphstore.snapshots.files import load_snapshot
from graphstore.snapshots.snapshot import build_snapshot
from tests.training.ray_workers import OF_RAY_KILLS, hang_once, killed_worker
from tests.training.toy_shop import closing_time, open_shop
from training.cluster.ray_tasks import RayFailed, Workers
from training.cluster.shared_files import SharedFiles
from training.config import TrainingConfig
from training.export.batch_lists import recommend_all, write_lists
from training.export.block_lists import Lists
from training.export.parts import Part
from training.export.ray_blocks import ScoringJob, lists_by_ray, score_block
from training.features.snapshot_features import featurize
from training.lifecycle.run import RunSpec, run_training
from training.models.bundle import load_bundle
from training.options import TrainingOptions

pytestmark = OF_RAY_KILLS

BLOCK_USERS = 7
BLOCKS = 6
FATAL = 3
"""The block whose worker is killed."""


def hold(job: ScoringJob, block: int) -> Lists:
    """Make a block; the first worker of the fatal one leaves its pid in a file and works without an end."""
    done = score_block(job, block)
    if block == FATAL:
        hang_once(job.files.paths[-1].parents[1] / "pid")
    return done


def die(job: ScoringJob, block: int) -> Lists:
    """Kill the own process at the fatal block, each time."""
    if block == FATAL:
        os.kill(os.getpid(), signal.SIGKILL)
    return score_block(job, block)


def refuse(job: ScoringJob, block: int) -> Lists:
    """What a model with broken numbers does."""
    raise FloatingPointError(f"block {block} scores NaN")


@pytest.fixture
def job(sqlite_engine: Engine, tmp_path: Path) -> ScoringJob:
    """A shop of 40 shoppers in six blocks."""
    graph = GraphstoreConfig(state_dir=tmp_path)
    with write(sqlite_engine) as connection:
        open_shop(connection, days=12)
        now = closing_time(connection)
    options = TrainingOptions(seed=0)
    spec = RunSpec("closed_form", "test")
    result = run_training(sqlite_engine, spec, graph=graph, config=TrainingConfig(), now=lambda: now, options=options)
    snapshot = build_snapshot(sqlite_engine, graph.snapshots_dir, as_of=now, created_at=now, featurize=featurize)
    files = SharedFiles.of(Path(result.bundle), snapshot.path)
    return ScoringJob(files, k=6, history_limit=500, block_users=BLOCK_USERS)


@pytest.fixture
def expected(job: ScoringJob, tmp_path: Path) -> bytes:
    """The file that one process writes."""
    bundle, snapshot = job.files.paths
    model, found = load_bundle(bundle), load_snapshot(snapshot)
    lists = recommend_all(model, found, k=job.k, history_limit=job.history_limit, block_users=BLOCK_USERS)
    write_lists(lists, tmp_path / "one.jsonl", total=40)
    return (tmp_path / "one.jsonl").read_bytes()


def test_two_workers_write_the_file_of_one_process(
    job: ScoringJob, expected: bytes, at_once: int, tmp_path: Path
) -> None:
    assert at_once == 2
    workers, shares = Workers(), []
    lists = lists_by_ray(job, range(BLOCKS), at_once=at_once, workers=workers)
    write_lists(lists, tmp_path / "two.jsonl", total=40, progress=lambda line, share: shares.append(share))
    assert (tmp_path / "two.jsonl").read_bytes() == expected
    assert len(shares) == BLOCKS and shares[-1] == 1.0
    assert sum(worker.tasks for worker in workers.known.values()) == BLOCKS
    assert os.getpid() not in {pid for _, pid in workers.known}
    assert all(worker.peak_rss_mb > 50 for worker in workers.known.values())
    (peak,) = workers.peak_mb_by_node().values()
    assert peak == pytest.approx(sum(worker.peak_rss_mb for worker in workers.known.values()), abs=0.2)


def test_the_block_of_a_killed_worker_is_made_again(
    job: ScoringJob, expected: bytes, at_once: int, tmp_path: Path
) -> None:
    workers = Workers()
    lists = lists_by_ray(job, range(BLOCKS), at_once=at_once, workers=workers, score=hold)
    with killed_worker(tmp_path / "pid"):
        write_lists(lists, tmp_path / "two.jsonl", total=40)
    assert (tmp_path / "two.jsonl").read_bytes() == expected
    assert sum(worker.tasks for worker in workers.known.values()) == BLOCKS


def test_a_part_is_made_by_workers_too(job: ScoringJob, expected: bytes, at_once: int, tmp_path: Path) -> None:
    lists = lists_by_ray(job, Part(2, 2).of(BLOCKS), at_once=at_once, workers=Workers())
    write_lists(lists, tmp_path / "half.jsonl", total=19)
    assert expected.splitlines()[21:] == (tmp_path / "half.jsonl").read_bytes().splitlines()


def test_a_block_that_kills_each_worker_ends_the_job(job: ScoringJob, at_once: int, tmp_path: Path) -> None:
    with pytest.raises(RayFailed, match="block 3 of 7 shoppers has no result after 4 tries"):
        write_lists(
            lists_by_ray(job, range(BLOCKS), at_once=at_once, workers=Workers(), score=die),
            tmp_path / "x.jsonl",
            total=40,
        )
    assert not list(tmp_path.glob("*x.jsonl*"))


def test_an_error_of_a_block_is_the_error_of_the_run(job: ScoringJob, at_once: int) -> None:
    with pytest.raises(FloatingPointError, match="block 0 scores NaN"):
        list(lists_by_ray(job, range(BLOCKS), at_once=at_once, workers=Workers(), score=refuse))


def test_a_worker_with_other_files_makes_no_list(job: ScoringJob, at_once: int, tmp_path: Path) -> None:
    other = replace(job, files=replace(job.files, fingerprint=SharedFiles.of(job.files.paths[0]).fingerprint))
    with pytest.raises(RayFailed, match="other files in"):
        list(lists_by_ray(other, range(1), at_once=at_once, workers=Workers()))
    away = replace(job, files=replace(job.files, directories=(job.files.directories[0], str(tmp_path / "nowhere"))))
    with pytest.raises(RayFailed, match="nowhere: each machine needs the files at the same path"):
        list(lists_by_ray(away, range(1), at_once=at_once, workers=Workers()))
