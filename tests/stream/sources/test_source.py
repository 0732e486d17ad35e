"""A source: its files one after another, stopped when asked, as blocks and as a table."""

from pathlib import Path

import pytest

from stream.events import CatalogItem, Interaction
from stream.sources.catalogue import items_part
from stream.sources.files.compressed import UnreadableFile
from stream.sources.formats.columns import BLOCK_ROWS
from stream.sources.opening import open_source
from stream.sources.rejections import Rejections
from stream.sources.source import Part, Reading, Source, UnknownForm, recognised
from stream.sources.tabular import events_part, read


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_blocks_give_what_the_whole_table_gives(tmp_path: Path) -> None:
    rows = [f"u{n % 97},i{n % 89},{1_700_000_000 + n * 7919 % 1000},{n % 6 or 'x'}" for n in range(BLOCK_ROWS + 500)]
    path = write(tmp_path / "f.csv", "\n".join(["user,item,timestamp,rating", *rows]) + "\n")
    reading = Reading()
    streamed = [event for event in Source([events_part(path)]).events(reading) if isinstance(event, Interaction)]
    table = read(path)
    assert sorted(streamed, key=lambda event: event.event_id) == sorted(
        table.events(), key=lambda event: event.event_id
    )
    assert reading.rejections.counts == table.rejected == {"rating is no number": (BLOCK_ROWS + 500 + 5) // 6}


def test_the_share_goes_over_all_files(tmp_path: Path) -> None:
    items = write(tmp_path / "items.csv", "item,title\n" + "i,t\n" * 100)
    log = write(tmp_path / "log.csv", "user,item\n" + "u,i\n" * 300)
    source, reading = Source([items_part(items), events_part(log)]), Reading()
    shares = [source.share(reading) for _ in source.blocks(reading)]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(items.stat().st_size / (items.stat().st_size + log.stat().st_size))
    assert source.share(reading) == pytest.approx(1.0)


def test_it_stops_after_the_block_in_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item\n" + "u,i\n" * (2 * BLOCK_ROWS))
    asked = False
    reading = Reading(stop=lambda: asked)
    found = Source([events_part(path), events_part(path)]).blocks(reading)
    assert len(next(found)) == BLOCK_ROWS
    asked = True
    assert list(found) == []


def test_items_and_interactions_of_a_table_in_memory(tmp_path: Path) -> None:
    items = write(tmp_path / "items.csv", "item,title\ni,t\n,x\n")
    log = write(tmp_path / "log.csv", "user,item,time\nb,i,1393545601\na,i,1393545600\n")
    table = Source([items_part(items), events_part(log)]).read(Reading(Rejections()))
    assert [event.user_id for event in table.events()] == ["a", "b"]
    assert [item.item_id for item in table.items] == ["i"]
    assert table.rejected == {"no item": 1}
    nothing = Source([items_part(items)]).read(Reading())
    assert (len(nothing), list(nothing.events())) == (0, [])


def test_rows_of_one_item_that_follow_each_other_are_one_item(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "item,title,category\ni,,a\ni,late,b\nj,x,\ni,again,c\n")
    found = list(Source([items_part(path)]).events(Reading()))
    assert [(item.item_id, item.title, item.categories) for item in found if isinstance(item, CatalogItem)] == [
        ("i", "late", ["a", "b"]),
        ("j", "x", []),
        ("i", "again", ["c"]),
    ]


def known(path: Path) -> Part:
    if path.suffix != ".known":
        raise UnknownForm(f"{path}: no")
    return events_part(path)


def test_of_a_folder_what_is_unknown_is_passed_over_and_of_files_refused(tmp_path: Path) -> None:
    for name in ("b.known", "a.known", "c.other", ".hidden.known"):
        write(tmp_path / name, "")
    source = recognised([tmp_path], known)
    assert [part.name.rpartition("/")[2] for part in source.parts] == ["a.known", "b.known"]
    assert [path.name for path in source.passed_over] == ["c.other"]
    with pytest.raises(UnreadableFile, match=r"c\.other: no"):
        recognised([tmp_path / "c.other"], known)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="no file in a form"):
        recognised([tmp_path / "empty"], known)


def test_of_a_folder_what_cannot_be_read_is_kept_with_its_reason(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "user,item\nu,i\n")
    (tmp_path / "b.csv").write_bytes("user,item\n".encode("utf-16"))
    (tmp_path / "c.xlsx").write_bytes(b"PK\x03\x04")
    source = open_source("table", [tmp_path])
    assert (len(source.parts), source.passed_over) == (1, [])
    assert [path.name for path, _ in source.unreadable] == ["b.csv", "c.xlsx"]
    assert source.unreadable[0][1] == "UTF-16: convert it to UTF-8 first"
    (tmp_path / "a.csv").unlink()
    with pytest.raises(UnreadableFile, match=r"b\.csv: UTF-16"):
        open_source("table", [tmp_path])
