"""Data sets by name."""

from datetime import date
from pathlib import Path

import pytest

from sagestream.datasets import TableWords, UnfitWords, UnknownDataset, choose, read_dataset


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item\nu,i\nv,i\n")
    assert len(read_dataset(str(file), sample=None, min_item_users=1, seed=0)) == 2
    assert len(read_dataset(str(file), sample=1, min_item_users=1, seed=0)) == 1


def test_a_folder_of_files_that_belong_together_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(
        "order_id,customer_id,order_status,order_purchase_timestamp\no,c,delivered,2017-10-02 10:56:33\n"
    )
    (tmp_path / "items.csv").write_text("order_id,order_item_id,product_id,seller_id,price\no,1,p,s,2.5\n")
    table = read_dataset(str(tmp_path), sample=None, min_item_users=1, seed=0)
    assert table.interactions[["user_id", "item_id", "value"]].to_numpy().tolist() == [["c", "p", 2.5]]


def test_the_date_of_the_first_day(tmp_path: Path) -> None:
    assert choose("dunnhumby", [tmp_path], words=TableWords(start_date="2017-01-31")).options.start == date(2017, 1, 31)
    with pytest.raises(UnfitWords, match="no date, as 2017-01-01"):
        choose("table", [tmp_path], words=TableWords(start_date="31.1.2017"))
    with pytest.raises(UnfitWords, match="olist knows its columns"):
        choose("olist", [tmp_path], words=TableWords({"user": "x"}))


def test_what_is_neither_a_name_nor_a_file_is_told() -> None:
    with pytest.raises(UnknownDataset, match="neither complete-journey nor a file"):
        read_dataset("nowhere", sample=None, min_item_users=1, seed=0)


def test_a_path_alone_is_a_table_and_a_name_comes_with_its_files(tmp_path: Path) -> None:
    file = tmp_path / "shop.csv"
    file.write_text("user,item\nu,i\n")
    guessed = choose(str(file), [], words=TableWords({"user": None}, columns="user, item"))
    assert (guessed.name, guessed.paths, guessed.options.layout.names) == ("table", [file], ["user", "item"])
    named = choose("amazon", [file])
    assert (named.name, named.paths, named.options.layout.names) == ("amazon", [file], None)
    assert choose("complete-journey", []).paths == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "nonsense", "rot13", "utf-8-sig", "base64"])
def test_encodings_in_which_lines_cannot_be_told_apart(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UnfitWords, match="no encoding with ASCII in it"):
        choose("table", [tmp_path], words=TableWords(encoding=encoding))
    assert choose("table", [tmp_path], words=TableWords(encoding="cp1252")).options.layout.encoding == "cp1252"


def test_the_order_of_dates_is_for_a_table(tmp_path: Path) -> None:
    assert choose("table", [tmp_path], words=TableWords(day_first=True)).options.day_first
    with pytest.raises(UnfitWords, match="the order of dates"):
        choose("amazon", [tmp_path], words=TableWords(day_first=True))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (TableWords(timezone="Mars/Olympus"), "no time zone"),
        (TableWords(event_type="stare"), "no type of an event"),
        (TableWords(type_map="pv"), "no name and type"),
        (TableWords(type_map="pv=stare"), "no type of an event"),
    ],
)
def test_words_that_mean_nothing_are_told(tmp_path: Path, words: TableWords, problem: str) -> None:
    with pytest.raises(UnfitWords, match=problem):
        choose("table", [tmp_path], words=words)


def test_words_about_times_and_types(tmp_path: Path) -> None:
    words = TableWords(timezone="Europe/Berlin", event_type="view", type_map="pv=view, fav=click", no_times=True)
    options = choose("table", [tmp_path], words=words).options
    assert (str(options.zone), options.event_type, options.times_needed) == ("Europe/Berlin", "view", False)
    assert options.type_names == {"pv": "view", "fav": "click"}
    assert choose("table", [tmp_path]).options.times_needed
