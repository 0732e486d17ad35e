"""`slots check` and `slots list`: what is wrong with a file, with its slot and key, and what holds."""

from pathlib import Path

import pytest

from graphstore.item_fields import ItemRow
from graphstore.session import open_engine, write
from graphstore.upserts import upsert_items
from tests.databases import migrated_sqlite
from tests.sagestream.verbs.commands import run


def written(directory: Path, text: str) -> str:
    path = directory / "slots.toml"
    path.write_text(text)
    return str(path)


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    return {"STATE_DIR": str(tmp_path / "state"), "DATABASE_URL": f"sqlite:///{tmp_path / 'graph.db'}"}


def test_a_good_file_is_0_and_says_its_slots(alone: dict[str, str], tmp_path: Path) -> None:
    path = written(tmp_path, "[home]\n[basket]\nkind = 'similar'")
    done = run("slots", "check", path, settings=alone)
    assert (done.code, done.error) == (0, None)
    assert done.out == f"{path}: 2 slots, basket, home; no catalogue to compare names with: `sagestream init`\n"
    assert run("slots", "check", "--json", settings=alone | {"SLOTS_FILE": path}).json == {
        "file": path,
        "slots": ["basket", "home"],
        "problems": [],
        "warnings": [],
        "catalogue": False,
    }


def test_a_broken_file_is_1_and_names_every_slot_with_a_problem(alone: dict[str, str], tmp_path: Path) -> None:
    path = written(tmp_path, "[home]\nlenght = 3\n[basket]\nkind = 'x'\n[good]")
    done = run("slots", "check", path, settings=alone)
    assert done.code == 1
    assert f"{path}: [home] there is no key 'lenght', did you mean 'length'?" in done.out
    assert f"{path}: [basket] kind: 'x' is none of for_you" in done.out
    told = run("slots", "check", path, "--json", settings=alone)
    assert (told.code, len(told.json["problems"])) == (1, 2)


def test_without_a_file_it_says_how_to_name_one(alone: dict[str, str]) -> None:
    done = run("slots", "check", settings=alone)
    assert (done.code, str(done.error)) == (1, "no file to check: give one, or set SAGESTREAM_SLOTS_FILE")
    assert run("slots", "check", "a", "b", settings=alone).code == 2


def test_names_are_compared_with_the_catalogue(alone: dict[str, str], tmp_path: Path) -> None:
    database = tmp_path / "graph.db"
    migrated_sqlite(database)
    path = written(tmp_path, "[home.rules.only]\ncategories = ['Diary', 'Dairy']")
    assert run("slots", "check", path, "--json", settings=alone).json["catalogue"] is False  # there are no items yet
    engine = open_engine(f"sqlite:///{database}")
    with write(engine) as connection:
        upsert_items(connection, [ItemRow("milk", "Milk", ["Dairy"], "Own", 1.0, available=True, updated_at=1)])
    engine.dispose()
    done = run("slots", "check", path, settings=alone)
    assert done.code == 0
    assert "warning: [home] rules.only.categories: no item has the category 'Diary', did you mean 'Dairy'?" in done.out


def test_all_slots_that_hold_are_listed(alone: dict[str, str], tmp_path: Path) -> None:
    path = written(tmp_path, "[basket]\nkind = 'bought_together'\nlength = 3\nrules.diversity = 0.5")
    done = run("slots", "list", settings=alone | {"SLOTS_FILE": path, "SLOTS": "corner"})
    assert done.code == 0
    assert "bought_together" in done.out
    told = run("slots", "list", "--json", settings=alone | {"SLOTS_FILE": path, "SLOTS": "corner"}).json
    assert {"home", "basket", "corner", "trending"} <= set(told)
    assert (told["basket"]["length"], told["basket"]["rules"]) == (3, {"diversity": 0.5})
    broken = run("slots", "list", settings=alone | {"SLOTS_FILE": written(tmp_path, "[basket]\nlength = 0")})
    assert (broken.code, "length" in str(broken.error)) == (1, True)
