"""The importer: a sample needs all rows, an interruption ends it between two events, a failure is told at the end."""

import gzip
from pathlib import Path

import pytest
from redis import Redis

from graphstore.errors import UnusableFile
from sagestream.importer import Importer, Sample
from sagestream.interruption import Interruption
from sagestream.printable import PlainConsole
from sagestream.stages import Stages
from stream.events import CatalogItem, utc
from stream.sources import tabular
from stream.sources.opening import open_source
from stream.sources.table import EventTable


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", redis_url)


def importer(path: Path, interruption: Interruption, **more: object) -> Importer:
    stages = Stages(PlainConsole(stderr=True))
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
    done = importer(path, Impatient(31)).run("direct")
    assert done.interrupted
    assert (done.told["stored"], done.failure) == (30, None)  # one look went to the mark of the file
    rest = importer(path, Impatient(10_000)).run("direct")
    assert (rest.told["duplicate"], rest.told["stored"], rest.interrupted) == (30, 70, False)


@pytest.mark.parametrize(
    ("patience", "stored", "interrupted"),
    [(10_000, 20, False), (12, 10, True), (2, 0, True), (0, 0, True)],
)
def test_a_sample_and_an_interruption(tmp_path: Path, patience: int, stored: int, interrupted: bool) -> None:
    """Two looks go to the file: to its mark, and after its one block."""
    done = importer(shop(tmp_path / "f.csv", 70), Impatient(patience), sample=Sample(users=2)).run("direct")
    assert (done.told["read"], done.told["stored"], done.interrupted) == (stored, stored, interrupted)


def test_a_sample_of_the_package_takes_the_files_of_items_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = CatalogItem(item_id="i", title="of the package", event_time=utc(1_400_000_000_000))
    table = tabular.read(shop(tmp_path / "f.csv", 10))
    monkeypatch.setattr(
        "stream.sources.datasets.complete_journey.read", lambda **_: EventTable(table.interactions, [known], {})
    )
    items = tmp_path / "items.csv"
    items.write_text("item,title\nj,of the file\n")
    source = open_source("complete-journey", [], items=[items])
    stages = Stages(PlainConsole(stderr=True))
    done = Importer("complete-journey", source, stages, Impatient(10_000), sample=Sample(users=2)).run("direct")
    assert (done.told["read"], done.told["items"]) == (10, 2)


def test_the_file_for_rejected_rows_is_a_new_one(tmp_path: Path) -> None:
    path = shop(tmp_path / "f.csv", 3)
    before = path.read_text()
    with pytest.raises(UnusableFile):
        importer(path, Impatient(10_000), rejected_file=path).run("direct")
    assert path.read_text() == before


def test_what_could_not_be_looked_at_and_what_helps_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # a path of any length stays on its line
    (tmp_path / "a.csv").write_text("user,item,date\nu,i,13/01/2011\nu,i,01/13/2011\n")
    (tmp_path / "b.csv").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    importer(tmp_path, Impatient(10_000)).run("direct")
    told = " ".join(capsys.readouterr().err.split())
    assert "b.csv: passed over, a workbook that cannot be read" in told
    assert "left out: 1 rows, day or month first? (dates with - or / begin with the month; with --day-first" in told


def test_a_failure_comes_after_what_was_read(tmp_path: Path) -> None:
    whole = gzip.compress(shop(tmp_path / "f.csv", 5000).read_bytes())
    path = tmp_path / "f.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    done = importer(path, Impatient(10_000)).run("direct")
    assert done.failure is not None
    assert 0 < done.told["stored"] < 5000
    assert f"damaged after line {done.told['stored'] + 1}:" in str(done.failure)
