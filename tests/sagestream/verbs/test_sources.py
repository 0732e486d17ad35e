"""`import` and `preprocess` on bad input and on whole data sets: each row is stored, or told with place and reason."""

import gzip
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import OperationalError

from graphstore.errors import UnusableFile
from graphstore.session import open_engine, read
from graphstore.tables import edges, interactions, items, users
from sagestream.interruption import EXIT_CODE
from sagestream.playground.embedded import Broker
from sagestream.verbs.sources import in_words
from tests.sagestream.verbs.commands import Done, broker_settings, run, start
from tests.waiting import wait_until

DATA = Path(__file__).parents[3].parent / "shared" / "data"
"""Data sets that are not ours to copy: beside the repository where a developer has them."""


@contextmanager
def graph(settings: dict[str, str]) -> Iterator[Connection]:
    engine = open_engine(f"sqlite:///{Path(settings['STATE_DIR']) / 'graph.db'}")
    with read(engine) as connection:
        yield connection
    engine.dispose()


def stored(settings: dict[str, str]) -> list[tuple[str, str, int, float | None]]:
    """(user, item, epoch ms, value) of what is in the graph, in order of time."""
    query = (
        select(users.c.user_id, items.c.item_id, interactions.c.event_time, interactions.c.value)
        .join_from(interactions, users, interactions.c.user_key == users.c.user_key)
        .join(items, interactions.c.item_key == items.c.item_key)
        .order_by(interactions.c.event_time, users.c.user_id)
    )
    with graph(settings) as connection:
        return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def direct(*words: str | Path, settings: dict[str, str]) -> Done:
    """Import; a file needs no times here."""
    more = ["--no-times"] if isinstance(words[0], Path) or words[0] == "table" else []
    return run("import", *map(str, words), *more, "--direct", "--json", settings=settings)


def test_without_any_service_a_file_becomes_a_snapshot(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item,timestamp\nu,i,1400000000\nv,i,1400000001\n")
    alone = {**settings, "REDIS_URL": "redis://127.0.0.1:1/0"}  # nobody listens there
    assert run("preprocess", str(path), settings=alone).code == 1
    done = run("preprocess", str(path), "--no-redis", "--json", settings=alone)
    assert done.code == 0
    assert done.json["interactions"] == 2
    assert run("import", str(path), "--no-redis", settings=alone).code == 2


def test_a_truncated_gzip_keeps_what_came_before_and_tells_the_line(settings: dict[str, str], tmp_path: Path) -> None:
    lines = [f"u{n},i{n * 7919 % 1009},{1_400_000_000 + n}" for n in range(6000)]
    whole = gzip.compress("\n".join(["user,item,timestamp", *lines]).encode())
    done = direct(write(tmp_path / "f.csv.gz", whole[: len(whole) * 2 // 3]), settings=settings)
    kept = done.json["stored"]
    assert done.code == 1
    assert str(done.error).startswith(f"{tmp_path / 'f.csv.gz'}: damaged after line {kept + 1}: ")
    assert 2000 < kept < 6000
    assert len(stored(settings)) == kept


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--user-col", "buyer"], "no column 'buyer': the file has who, item"),
        ([], "no column for user: the file has who, item; --user-col names it"),
    ],
)
def test_a_wrong_column_is_told_with_those_that_there_are(
    settings: dict[str, str], tmp_path: Path, words: list[str], reason: str
) -> None:
    path = write(tmp_path / "f.csv", "who,item\nu,i\n")
    done = direct(path, *words, settings=settings)
    assert (done.code, str(done.error)) == (2, f"{path}: {reason}")
    assert direct(path, "--user-col", "who", settings=settings).json["stored"] == 1


def test_another_encoding_is_refused_by_line_and_read_when_it_is_named(
    settings: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / "f.csv", "user,item\nu,caffè\nv,tea\n".encode("latin-1"))
    done = direct(path, settings=settings)
    assert (done.code, done.json["stored"], done.json["rejected"]) == (0, 1, {"no utf-8 text": 1})
    assert "line 2: no utf-8 text: u,caff\\xe8" in done.err
    assert direct(path, "--encoding", "latin-1", settings=settings).json["read"] == 2
    assert {item for _, item, _, _ in stored(settings)} == {"caffè", "tea"}
    utf_16 = direct(write(tmp_path / "g.csv", "user,item\nu,i\n".encode("utf-16")), settings=settings)
    assert (utf_16.code, str(utf_16.error)) == (1, f"{tmp_path / 'g.csv'}: UTF-16: convert it to UTF-8 first")
    assert direct(path, "--encoding", "utf-16", settings=settings).code == 2


def test_seconds_milliseconds_and_dates_are_one_time(settings: dict[str, str], tmp_path: Path) -> None:
    times = ["1393545600", "1393545600000", "2014-02-28", "2014-02-28T00:00:00Z", "2014-02-28 01:00:00+01:00"]
    rows = "".join(f"u{n},i,{time}\n" for n, time in enumerate([*times, "yesterday", "12", "4000000000"]))
    done = direct(write(tmp_path / "f.csv", f"user,item,timestamp\n{rows}"), settings=settings)
    assert [(user, time) for user, _, time, _ in stored(settings)] == [(f"u{n}", 1393545600000) for n in range(5)]
    assert done.json["rejected"] == {"no time": 2, "a time to come": 1}
    assert "line 7: no time: u5,i,yesterday" in done.err
    assert "line 9: a time to come: u7,i,4000000000" in done.err


def test_ids_with_commas_quotes_and_breaks(settings: dict[str, str], tmp_path: Path) -> None:
    content = 'user,item\n"Doe, ""J""",a\n"two\nlines",b\nit\'s,"c\n'
    done = direct(write(tmp_path / "f.csv", content), settings=settings)
    assert [user for user, _, _, _ in stored(settings)] == ['Doe, "J"']
    assert done.json["rejected"] == {"a control character in an id": 1, "a quote without an end": 1}
    assert "line 3: a control character in an id: two\\nlines,b" in done.err
    assert "line 5: a quote without an end: it's,\"c" in done.err


def test_a_rating_of_nan_is_no_rating(settings: dict[str, str], tmp_path: Path) -> None:
    rows = "".join(f"u{n},i,{rating},{1_400_000_000 + n}\n" for n, rating in enumerate(["5", "NaN", "", "inf", "good"]))
    done = direct(write(tmp_path / "f.csv", f"user,item,rating,timestamp\n{rows}"), settings=settings)
    assert (done.code, done.json["rejected"]) == (0, {"rating is no number": 4})
    assert stored(settings) == [("u0", "i", 1_400_000_000_000, 5.0)]
    assert "line 3: rating is no number: u1,i,NaN,1400000001" in done.err


def test_duplicate_rows_are_events_of_their_own_and_a_second_import_adds_none(
    settings: dict[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / "f.csv", "user,item,timestamp\n" + "u,i,1400000000\n" * 3)
    assert direct(path, settings=settings).json["stored"] == 3
    again = direct(write(tmp_path / "renamed.csv", path.read_bytes()), settings=settings).json
    assert (again["stored"], again["duplicate"]) == (0, 3)
    assert len(stored(settings)) == 3


def test_rejected_rows_are_shown_up_to_a_bound_and_written_all(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item\n" + ",i\n" * 8 + "u,\n" + "u,i\n")
    out = tmp_path / "rejected.jsonl"
    done = direct(path, "--show-rejected", "2", "--rejected", out, settings=settings)
    assert done.json["rejected"] == {"no user": 8, "no item": 1}
    assert done.err.count(": no user: ,i") == 2
    assert "left out: 8 rows, no user" in done.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["line"] for row in rows] == list(range(2, 11))
    assert rows[-1] == {"file": str(path), "line": 10, "reason": "no item", "row": "u,"}
    nowhere = direct(path, "--rejected", tmp_path / "nowhere" / "f", settings=settings)
    assert (nowhere.code, type(nowhere.error)) == (1, UnusableFile)


def test_a_file_that_is_there_is_not_written_over(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item\n,i\nu,i\n")
    done = direct(path, "--rejected", path, settings=settings)
    assert (done.code, path.read_text()) == (2, "user,item\n,i\nu,i\n")
    assert "name a new file" in " ".join(done.err.replace("│", " ").split())


def test_where_every_row_is_rejected_nothing_was_imported(settings: dict[str, str], tmp_path: Path) -> None:
    done = direct(write(tmp_path / "f.csv", "user,item\n,i\nu,\n"), settings=settings)
    assert (done.code, str(done.error)) == (1, "nothing was imported: all 2 rows were rejected")
    assert done.json["stored"] == 0


def test_what_became_of_it_in_words(settings: dict[str, str], tmp_path: Path) -> None:
    path = str(write(tmp_path / "f.csv", "user,item\n,i\nu,\nu,i\n"))
    done = run("import", path, "--direct", "--no-times", settings=settings)
    assert done.out.strip() == (
        "read: 1 · items: 0 · rejected: 2 (1 no user, 1 no item) · stored: 1 · duplicate: 0 · erased: 0 · late: 0"
    )
    told = {"forms": {"f": "a table"}, "read": 1234, "rejected": {}, "interrupted": True}
    assert in_words(told) == "read: 1,234 · rejected: 0 · interrupted"


def test_a_corrected_catalogue_takes_the_place_of_the_older_one(settings: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    log = write(tmp_path / "log.csv", "user,item\nu,i\n")
    titles = []
    for written, title in ((1_700_000_100, "Zea"), (1_700_000_200, "Tea"), (1_700_000_000, "Zzz")):
        os.utime(write(path, f"item,title\ni,{title}\n"), (written, written))
        assert direct(log, "--items", path, settings=settings).code == 0
        with graph(settings) as connection:
            titles.append(connection.scalar(select(items.c.title)))
    assert titles == ["Zea", "Tea", "Tea"]


def test_dates_that_begin_with_the_day(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item,date\nu,i,28/02/2014\nu,j,01/03/2014\n")
    assert direct(path, "--day-first", settings=settings).json["rejected"] == {}
    assert [time for _, _, time, _ in stored(settings)] == [1393545600000, 1393632000000]


def test_a_row_of_terminal_codes_is_shown_without_them(settings: dict[str, str], tmp_path: Path) -> None:
    done = direct(write(tmp_path / "f.csv", "user,item\n,\x1b[31m[red]" + "x" * 500 + "\n"), settings=settings)
    assert "\x1b" not in done.err
    assert "line 2: no user: ,\\x1b[31m[red]xxx" in done.err
    assert "x" * 200 not in done.err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("f.jsonl", b"1\n", "no JSON object in it"),
        ("f.parquet", b"PAR1", "Parquet"),
        ("f.xlsx", b"PK\x03\x04", "save its sheets as CSV"),
        ("f.csv", b"user,item\n\xff,i\n", "no line of it is a row"),
        ("f.json", b'{"a": ["x"', "no JSON in member 1"),
    ],
)
def test_what_is_no_table_is_told_in_one_line(
    settings: dict[str, str], tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    done = direct(write(tmp_path / name, content), settings=settings)
    assert done.code == 1
    assert reason in str(done.error)
    assert str(done.error).startswith(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "content", "words", "reason"),
    [
        ("f.csv", "", [], "an empty file"),
        ("f.csv", "\n\n\n", [], "an empty file"),
        ("f.jsonl", "\n\n", [], "an empty file"),
        ("f.json", "[]", [], "an empty file"),
        ("f.parquet", "", [], "an empty file"),
        ("f.csv", "user,item,date\n", [], "no row at all"),
        ("f.csv", "user,item\nu,i\n", [], "--time-col names it, --no-times takes the rows in their order"),
        ("f.csv", "user,item,date\nu,i,16/02/2023\nu,j,17/02/2023\nu,k,01/02/2023\n", [], "with --day-first"),
        ("f.csv", "user,item,date\nu,i,02/16/2023\nu,j,02/17/2023\n", ["--day-first"], "without --day-first"),
        ("f.csv", "user,item,date\nu,i,Monday\nu,j,Tuesday\n", [], "no cell of 'date' is a time, as 'Monday'"),
    ],
)
@pytest.mark.parametrize("verb", ["import", "preprocess", "benchmark"])
def test_what_is_decisive_and_not_understood_stops_with_exit_2_before_anything_is_stored(
    settings: dict[str, str], tmp_path: Path, verb: str, name: str, content: str, words: list[str], reason: str
) -> None:
    good = str(write(tmp_path / "good.csv", "user,item,date\nu,i,2023-02-16\n"))
    bad = str(write(tmp_path / name, content))
    given = {
        "import": ["import", good, bad, "--direct", "--no-redis"],
        "preprocess": ["preprocess", good, bad, "--no-redis"],
        "benchmark": ["benchmark", "--interactions", bad, "--baselines", "popular"],
    }[verb]
    done = run(*given, *words, settings=settings)
    assert done.code == 2
    assert str(done.error).startswith(f"{bad}: ")
    assert reason in str(done.error)
    assert not (Path(settings["STATE_DIR"]) / "graph.db").exists()


def test_an_empty_file_in_a_folder_is_no_reason_to_stop_and_a_folder_without_a_row_is(
    settings: dict[str, str], tmp_path: Path
) -> None:
    write(tmp_path / "days" / "1.csv", "user,item,date\n")
    assert run("import", "table", str(tmp_path / "days"), "--direct", "--no-redis", settings=settings).code == 2
    write(tmp_path / "days" / "2.csv", "user,item,date\nu,i,2023-02-16\n")
    write(tmp_path / "days" / "3.csv", "")
    assert run("import", "table", str(tmp_path / "days"), "--direct", "--no-redis", settings=settings).code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.csv"], "neither amazon, movielens"),
        (["amazon"], "amazon needs a file"),
        (["complete-journey", "x.csv"], "takes no file"),
        (["amazon", "x.csv", "--user-col", "u"], "knows its columns"),
        (["table", "nowhere.csv"], "there is no file nowhere.csv"),
        (["complete-journey", "--seed", "-1"], "greater than or equal to 0"),
    ],
)
def test_words_that_do_not_fit(settings: dict[str, str], words: list[str], reason: str) -> None:
    done = direct(*words, settings=settings)
    assert done.code in (1, 2)
    assert reason in " ".join(f"{done.err} {done.error}".replace("│", " ").split())


def test_items_come_along(settings: dict[str, str], tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user,item\nu,i\n")
    catalogue = write(
        tmp_path / "items.jsonl.gz", gzip.compress(b'{"item_id": "i", "title": "Tea", "price": "from 3"}\n')
    )
    told = direct(log, "--items", catalogue, settings=settings).json
    assert (told["read"], told["items"]) == (1, 1)
    with graph(settings) as connection:
        assert tuple(connection.execute(select(items.c.title, items.c.price)).one()) == ("Tea", 3.0)


def test_the_form_that_was_recognised_is_told(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user_id,parent_asin,rating,timestamp\nA,B,5.0,1472850556000\n")
    done = direct("amazon", path, settings=settings)
    assert "f.csv: Amazon ratings of 2023" in " ".join(done.err.split())
    assert done.json["forms"] == {str(path): "Amazon ratings of 2023"}
    assert stored(settings) == [("A", "B", 1472850556000, 5.0)]


def test_a_sample_is_drawn_from_the_whole_table(settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item\n" + "".join(f"u{n % 10},i{n % 3}\n" for n in range(100)))
    told = direct("table", path, "--sample", "4", "--min-item-users", "2", settings=settings).json
    assert (told["read"], told["stored"]) == (40, 40)


def test_onto_kafka(broker: Broker, settings: dict[str, str], tmp_path: Path) -> None:
    path = write(tmp_path / "f.csv", "user,item\n" + "u,i\n" * 5 + ",i\n")
    reach = {**settings, **broker_settings(broker)}
    done = run("import", str(path), "--no-times", "--json", settings=reach)
    assert (done.code, done.json["produced"], done.json["rejected"]) == (0, 5, {"no user": 1})


@pytest.mark.kill
def test_an_interrupted_import_says_how_far_it_came_and_goes_on_later(settings: dict[str, str], tmp_path: Path) -> None:
    rows = 30_000
    path = write(tmp_path / "f.csv", "user,item\n" + "".join(f"u{n % 500},i{n % 700}\n" for n in range(rows)))
    process = start("import", str(path), "--no-times", "--direct", "--json", settings=settings)

    def some() -> bool:
        with suppress(OperationalError), graph(settings) as connection:  # the tables come first
            return bool(connection.scalar(select(func.count()).select_from(interactions)))
        return False

    wait_until(some)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    told = json.loads(out)
    assert (process.returncode, told["interrupted"]) == (EXIT_CODE, True)
    assert 0 < told["stored"] < rows
    again = direct(path, settings=settings).json
    assert (again["duplicate"], again["stored"]) == (told["stored"], rows - told["stored"])


def test_preprocess_with_a_source_goes_on_to_a_snapshot(settings: dict[str, str], tmp_path: Path) -> None:
    rows = "".join(f"u{n % 5},i{n % 7},{1_400_000_000 + n}\n" for n in range(60))
    path = write(tmp_path / "f.csv", f"user,item,timestamp\n{rows},i,1400000000\n")
    done = run("preprocess", str(path), "--json", settings=settings)
    assert (done.code, done.json["interactions"]) == (0, 60)
    assert (done.json["imported"]["stored"], done.json["imported"]["rejected"]) == (60, {"no user": 1})
    assert "line 62: no user" in done.err
    assert Path(done.json["path"]).is_dir()
    assert run("preprocess", "--user-col", "u", settings=settings).code == 2


FOLDERS: dict[str, tuple[list[str], dict[str, int], dict[str, int]]] = {
    "amazon_musical_instruments": (["amazon"], {"interactions": 10_261, "users": 1_429, "items": 900}, {}),
    "amazon_scientific": (["table"], {"interactions": 58_492, "users": 8_317, "items": 4_344}, {}),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_whole_data_sets(settings: dict[str, str], folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"there is no {folder} in shared/data beside the repository")
    words, counts, rejected = FOLDERS[folder]
    told: dict[str, Any] = direct(*words, DATA / folder, settings=settings).json
    assert (told["stored"], told["rejected"]) == (counts["interactions"], rejected)
    tables = {"interactions": interactions, "users": users, "items": items}
    with graph(settings) as connection:
        assert {
            name: connection.scalar(select(func.count()).select_from(table)) for name, table in tables.items()
        } == counts
        assert connection.scalar(select(func.count()).select_from(edges))
