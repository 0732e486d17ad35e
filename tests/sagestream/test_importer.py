"""The importer: a sample needs all rows, an interruption ends it between two events, a failure is told at the end."""

import gzip
from pathlib import Path

import pytest
from redis import Redis
from rich.console import Console

from sagestream.importer import Importer, Sample
from sagestream.interruption import Interruption
from sagestream.stages import Stages
from stream.sources.opening import open_source


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", redis_url)


def importer(path: Path, interruption: Interruption, **more: object) -> Importer:
    stages = Stages(Console(stderr=True))
    return Importer("table", open_source("table", [path]), stages, interruption, **more)  # type: ignore[arg-type]


def shop(path: Path, rows: int) -> Path:
    path.write_text("user,item\n" + "".join(f"u{n % 7},i{n % 5}\n" for n in range(rows)))
    return path


@pytest.mark.parametrize(
    ("sample", "is_all"), [(Sample(), True), (Sample(users=3), False), (Sample(min_item_users=2), False)]
)
def test_what_needs_all_rows(sample: Sample, is_all: bool) -> None:
    assert sample.is_all is is_all


class Impatient(Interruption):
    """Asked after it was looked at so many times."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience

    @property
    def asked(self) -> bool:
        """Whether the patience is over."""
        self.patience -= 1
        return self.patience < 0


def test_what_was_read_before_an_interruption_is_stored(tmp_path: Path) -> None:
    path = shop(tmp_path / "f.csv", 100)
    done = importer(path, Impatient(31)).run(direct=True)
    assert done.interrupted
    assert (done.told["stored"], done.failure) == (30, None)  # one look went to the mark of the file
    rest = importer(path, Impatient(10_000)).run(direct=True)
    assert (rest.told["duplicate"], rest.told["stored"], rest.interrupted) == (30, 70, False)


def test_a_sample_and_an_interruption(tmp_path: Path) -> None:
    done = importer(shop(tmp_path / "f.csv", 70), Impatient(10_000), sample=Sample(users=2)).run(direct=True)
    assert (done.told["read"], done.told["stored"]) == (20, 20)


def test_a_failure_comes_after_what_was_read(tmp_path: Path) -> None:
    whole = gzip.compress(shop(tmp_path / "f.csv", 5000).read_bytes())
    path = tmp_path / "f.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    done = importer(path, Impatient(10_000)).run(direct=True)
    assert done.failure is not None
    assert 0 < done.told["stored"] < 5000
    assert f"damaged after line {done.told['stored'] + 1}:" in str(done.failure)
