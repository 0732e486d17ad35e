"""The page of the slots: every key, kind and default slot stands there, and its file is one."""

import tomllib
from pathlib import Path

import msgspec
import pytest

from serving.slots.defaults import DEFAULT_SLOTS
from serving.slots.slot import Kind, Slot
from serving.slots.slots_file import parse_slots
from tests.docs.pages import page

PAGE = page("docs/slots.md")


@pytest.mark.parametrize("name", ["docs/slots.md", "docs/rules.md"])
def test_every_file_of_the_page_is_valid_without_a_warning(name: str) -> None:
    blocks = [block.text for block in page(name).blocks if block.language == "toml"]
    assert blocks
    for text in blocks:
        assert parse_slots(tomllib.loads(text), Path(name)).warnings == []


def test_every_key_and_kind_has_a_row() -> None:
    for name in (*(field.name for field in msgspec.structs.fields(Slot)), *Kind):
        assert f"\n| `{name}` |" in PAGE.text, name


def test_the_slots_without_a_file_are_those_of_the_code() -> None:
    rows = [row.split("|") for row in PAGE.text.split("## The slots without a file")[1].splitlines() if "| `" in row]
    found = {}
    for _, names, kind, length, fallback, _ in rows:
        for name in names.split(","):
            kinds = tuple(one.strip(" `") for one in fallback.split(",") if one.strip())
            found[name.strip(" `")] = (kind.split("`")[1], int(length), kinds)
    assert found == {name: (slot.kind, slot.length, slot.fallback) for name, slot in DEFAULT_SLOTS.items()}
