from pathlib import Path

import msgspec

from serving.slots.defaults import DEFAULT_SLOTS
from serving.slots.slots_file import parse_slots


def test_the_defaults_are_a_valid_file_without_a_warning() -> None:
    tables = msgspec.to_builtins(DEFAULT_SLOTS)
    found = parse_slots(tables, Path("defaults"))
    assert (found.slots, found.warnings) == (DEFAULT_SLOTS, [])
