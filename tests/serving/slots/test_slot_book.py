import logging
import os
from pathlib import Path

import pytest

from serving.config import ServingConfig
from serving.slots.defaults import DEFAULT_SLOTS, PLAIN
from serving.slots.slot import Kind, Slot
from serving.slots.slot_book import SlotBook, UnknownSlot
from serving.slots.slots_file import SlotsFileError


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0  # each look is a second after the one before
        return self.now


def write(path: Path, text: str, time: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(time, time))


def test_without_a_file_there_are_the_defaults_and_the_names_of_the_setting() -> None:
    book = SlotBook.open(ServingConfig(slots="basket, home"))
    assert book.current() == {**DEFAULT_SLOTS, "basket": PLAIN}
    assert book.problem is None


def test_each_kind_has_a_default_slot_of_its_name() -> None:
    assert {kind: DEFAULT_SLOTS[kind].kind for kind in Kind} == {kind: kind for kind in Kind}


def test_the_file_stands_over_the_defaults_and_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "slots.toml"
    write(path, "[home]\nlength = 5\n[basket]", 1)
    book = SlotBook(path, clock=Clock())
    assert (book.slot("home").length, book.slot("basket"), book.slot("item")) == (5, Slot(), DEFAULT_SLOTS["item"])
    write(path, "[home]\nlength = 6", 2)
    assert book.slot("home").length == 6
    with pytest.raises(UnknownSlot, match=r"'basket'.*home"):
        book.slot("basket")


def test_a_file_that_breaks_keeps_the_last_good_one_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "slots.toml"
    write(path, "[home]\nlength = 5", 1)
    book = SlotBook(path, clock=Clock())
    write(path, "[home]\nlength = 0", 2)
    with caplog.at_level(logging.ERROR):
        assert book.slot("home").length == 5
        assert book.slot("home").length == 5
    assert book.problem is not None
    assert "length" in book.problem
    assert len(caplog.records) == 1
    path.unlink()
    assert book.slot("home").length == 5
    assert "cannot be read" in book.problem
    write(path, "[home]\nlength = 7", 3)
    assert book.slot("home").length == 7
    assert book.problem is None


def test_the_file_is_looked_at_once_a_second(tmp_path: Path) -> None:
    path, times = tmp_path / "slots.toml", [0.0]
    write(path, "[home]\nlength = 5", 1)
    book = SlotBook(path, clock=lambda: times[0])
    write(path, "[home]\nlength = 6", 2)
    times[0] = 0.9
    assert book.slot("home").length == 5
    times[0] = 1.0
    assert book.slot("home").length == 6


def test_a_file_that_was_never_good_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SlotsFileError, match="cannot be read"):
        SlotBook.open(ServingConfig(slots_file=tmp_path / "none.toml"))
