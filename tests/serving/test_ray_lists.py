"""What a worker of a Ray does with a job of the publisher: no Ray is needed for that."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from graphstore.session import write
from serving.ray_lists import ListsJob, make_block
from tests.serving.real_shop import SECRET, SHOPPERS, RealShop, real_shop
from tests.serving.toy import touch
from training.cluster.ray_tasks import RayFailed

pytestmark = pytest.mark.slow

BLOCK = (0, np.arange(1, SHOPPERS + 1))
DATABASE = "SAGESTREAM_DATABASE_URL"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RealShop]]:
    """A shop that grows a minute older with each test: a worker opens a model and the database once a publication."""
    with real_shop(tmp_path_factory.mktemp("shop")) as shop:
        yield [shop]


@pytest.fixture
def shop(opened: list[RealShop], monkeypatch: pytest.MonkeyPatch) -> RealShop:
    monkeypatch.setenv(DATABASE, opened[-1].url)
    opened.append(opened[-1].later())
    return opened[-1]


@pytest.fixture
def job(shop: RealShop) -> ListsJob:
    return shop.job()


def for_worker(number: int, job: ListsJob) -> ListsJob:
    """The same job for a worker that has opened nothing yet: no shopper has as many events as the limit."""
    return replace(job, history_limit=job.history_limit - number)


def test_a_job_holds_no_secret_and_no_model(job: ListsJob) -> None:
    carried = pickle.dumps(job)
    assert SECRET.encode() not in carried
    assert SECRET not in repr(job)
    assert len(carried) < 10_000
    assert job.since.new is not None and [item.item_id for item in job.since.new.items] == ["newcomer"]


def test_all_blocks_see_the_trend_of_the_job(shop: RealShop, job: ListsJob) -> None:
    """A worker makes a block. Then something sells, the worker dies, and another one makes it again."""
    made = make_block(for_worker(1, job), BLOCK)
    for number in range(50):
        touch(shop.engine, f"visitor-{number}", "i5", shop.as_of - 1)
    assert make_block(for_worker(2, job), BLOCK) == made
    assert make_block(for_worker(3, shop.job()), BLOCK) != made


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"sqlite:////tmp/{SECRET}/graph.db", "a worker finds no database: set SAGESTREAM_DATABASE_URL for it"),
        (f"mysql://shop:{SECRET}@host/shop", "SAGESTREAM_DATABASE_URL: .*mysql is not supported"),
        (f"postgresql://shop:{SECRET}@host:none/shop", "SAGESTREAM_DATABASE_URL: .*the port is no number"),
        (f"postgresql://shop:{SECRET}@127.0.0.1:1/shop", "a worker cannot read the database: connection failed"),
    ],
)
def test_a_worker_without_the_database_makes_nothing(
    job: ListsJob, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv(DATABASE, url)
    with pytest.raises(RayFailed, match=said) as refused:
        make_block(job, BLOCK)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_worker_whose_secret_is_in_no_file_makes_nothing(
    job: ListsJob, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(DATABASE)
    monkeypatch.setenv(f"{DATABASE}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(RayFailed, match=r"the environment of a worker: SAGESTREAM_DATABASE_URL_FILE: .*nowhere"):
        make_block(job, BLOCK)


def test_a_worker_with_another_database_makes_nothing(job: ListsJob) -> None:
    with pytest.raises(RayFailed, match="the database of a worker does not know another"):
        make_block(replace(job, model_version="another"), BLOCK)


def test_a_worker_with_other_files_makes_nothing(job: ListsJob) -> None:
    with pytest.raises(RayFailed, match="other files in"):
        make_block(replace(job, files=replace(job.files, fingerprint="0" * 64)), BLOCK)


def test_a_database_that_fails_is_told_without_its_statement(shop: RealShop, job: ListsJob) -> None:
    make_block(job, BLOCK)
    with write(shop.engine) as connection:
        connection.execute(text("ALTER TABLE interactions RENAME TO away"))
    try:
        with pytest.raises(RayFailed) as refused:
            make_block(job, BLOCK)
    finally:
        with write(shop.engine) as connection:
            connection.execute(text("ALTER TABLE away RENAME TO interactions"))
    assert str(refused.value) == "a worker cannot read the database: no such table: interactions"
