"""CSV and TSV files: headers guessed, times of every form, bad rows counted by their reason."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.events import EventType, Interaction, milliseconds
from stream.sources.files.compressed import UnreadableFile
from stream.sources.headers import guess_columns
from stream.sources.options import SourceOptions
from stream.sources.tabular import read


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_amazon_file_is_read_in_time_order(tmp_path: Path) -> None:
    file = write(
        tmp_path / "ratings.csv",
        "reviewerID,asin,overall,unixReviewTime\nA2,B1,5.0,1393545600\nA1,B1,3.0,1362355200\n",
    )
    table = read(file)
    first, second = table.events()
    assert (first.user_id, first.item_id, first.value, first.event_type) == ("A1", "B1", 3.0, EventType.RATING)
    assert first.event_time == datetime(2013, 3, 4, tzinfo=UTC)
    assert (second.user_id, table.rejected) == ("A2", {})


@pytest.mark.parametrize("written", ["1393545600", "1393545600000", "2014-02-28T00:00:00Z", "2014-02-28 00:00:00"])
def test_seconds_milliseconds_and_dates_are_the_same_time(tmp_path: Path, written: str) -> None:
    (event,) = read(write(tmp_path / "f.csv", f"user,item,timestamp\nu,i,{written}\n")).events()
    assert event.event_time == datetime(2014, 2, 28, tzinfo=UTC)


def test_ids_with_commas_and_quotes_survive(tmp_path: Path) -> None:
    (event,) = read(write(tmp_path / "f.csv", 'user,item\n"a, ""b""",i\n')).events()
    assert event.user_id == 'a, "b"'


def test_bad_rows_are_counted_by_reason_and_good_ones_kept(tmp_path: Path) -> None:
    rows = [
        "user,item,timestamp,rating,event,quantity",
        "u,i,1393545600,5,purchase,1",
        ",i,1393545600,5,purchase,1",
        "u,,1393545600,5,purchase,1",
        "u,i,never,5,purchase,1",
        "u,i,12,5,purchase,1",
        "u,i,1393545600,many,purchase,1",
        "u,i,1393545600,NaN,purchase,1",
        "u,i,1393545600,5,stare,1",
        "u,i,1393545600,5,purchase,-2",
        "u,i,1393545600,5,purchase,inf",
        "u,i,1393545600,5,purchase,2000000",
        "u,i,inf,5,purchase,1",
        "u,i,1393545600000000,5,purchase,1",
        "u,i,1393545600,inf,purchase,1",
        f"{'x' * 200},i,1393545600,5,purchase,1",
        "u,i,1393545600,4,addtocart,",
    ]
    table = read(write(tmp_path / "f.csv", "\n".join(rows) + "\n"))
    kept = [EventType.RETURN, EventType.PURCHASE, EventType.CART]
    assert sorted(event.event_type for event in table.events()) == sorted([*kept, *[EventType.PURCHASE] * 4])
    assert table.rejected == {
        "no user": 1,
        "no item": 1,
        "id too long": 1,
        "no time": 3,
        "unknown type": 1,
        "quantity out of bounds": 2,
    }


def test_a_file_without_times_keeps_its_order(tmp_path: Path) -> None:
    events = list(read(write(tmp_path / "f.tsv", "user\titem\nb\t1\na\t2\n")).events())
    assert [event.user_id for event in events] == ["b", "a"]
    assert events[0].event_time < events[1].event_time


def test_reading_twice_gives_the_same_ids(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", "user,item\nu,i\nu,i\n")
    first, second = ([event.event_id for event in read(file).events()] for _ in range(2))
    assert first == second
    assert len(set(first)) == 2


def test_rows_longer_than_the_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="more cells than the header"):
        read(write(tmp_path / "f.csv", "user,item\nu,i,\nu,j,\n"))


def test_another_file_of_the_same_name_has_other_events(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = next(read(write(tmp_path / "f.csv", "user,item\nu,i\n")).events())
    two = next(read(write(tmp_path / "other" / "f.csv", "user,item\nu,j\n")).events())
    assert one.event_id != two.event_id


def test_a_named_column_wins_and_must_exist() -> None:
    assert guess_columns(["who", "what", "user_id"], {"user": "who", "item": "what"}).user == "who"
    with pytest.raises(UnreadableFile, match="no column 'buyer'"):
        guess_columns(["user_id", "item_id"], {"user": "buyer"})
    with pytest.raises(UnreadableFile, match="no column for item"):
        guess_columns(["user_id", "colour"])


@pytest.mark.parametrize("content", [b"", b"user,item\n\xff\xfe,1\n", b'user,item\n"a,b\n'])
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    with pytest.raises(UnreadableFile, match=r"bad\.csv"):
        read(file)


def test_a_sample_of_shoppers_keeps_whole_shoppers(tmp_path: Path) -> None:
    lines = ["user,item"] + [f"u{n % 10},i{n % 3}" for n in range(100)]
    table = read(write(tmp_path / "f.csv", "\n".join(lines)), users=4, seed=1)
    assert table.interactions["user_id"].value_counts().tolist() == [10] * 4
    again = read(tmp_path / "f.csv", users=4, seed=1)
    assert again.interactions.equals(table.interactions)


def test_the_split_does_not_cut_a_basket(tmp_path: Path) -> None:
    times = [1_400_000_000 + n // 5 for n in range(100)]
    lines = ["user,item,timestamp"] + [f"u,i{n},{time}" for n, time in enumerate(times)]
    table = read(write(tmp_path / "f.csv", "\n".join(lines)))
    row = table.split(0.12)
    stamps = table.interactions["event_time"]
    assert row == 85
    assert stamps[row - 1] < stamps[row]
    shifted = next(table.events(row, shift_ms=1000))
    assert milliseconds(shifted.event_time) == stamps[row] + 1000


def test_an_object_is_no_user_and_no_item(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(
        '{"user": {"x": 1}, "item": "i"}\n{"user": "u", "item": ["i"]}\n{"user": 5, "item": "i"}\n{"user": "u"}\n'
    )
    table = read(path)
    assert [(event.user_id, event.item_id) for event in table.events()] == [("u", "i"), ("5", "i")]
    assert table.rejected == {"id is no text": 1, "no item": 1}


def test_orders_and_currencies_are_kept_where_the_file_tells_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "shop.csv",
        "user_id,item_id,price,qty,Order_ID,currency\n"
        "ann,tea,2.5,2,1007,EUR\n"
        "ann,oil,4,,1007,eur\n"
        "ben,tea,2.5,1,,\n"
        "ben,oil,4,1,1008,euro\n"
        f"ben,oil,4,1,{'x' * 129},EUR\n",
    )
    table = read(path)
    told = [(event.event_type.value, event.order_id, event.currency) for event in table.events()]
    assert told[:2] == [("purchase", "1007", "EUR"), ("purchase", "1007", "EUR")]
    assert told[2:] == [("purchase", None, None), ("purchase", "1008", None)]
    assert table.rejected == {"id too long": 1}
    (event,) = read(write(tmp_path / "plain.csv", "user_id,item_id,price\nann,tea,2.5\n")).events()
    assert (event.order_id, event.currency) == (None, None)


def written(tmp_path: Path, text: str, **options: object) -> list[Interaction]:
    """The events of a file with this text."""
    return list(read(write(tmp_path / "f.csv", text), SourceOptions(**options)).events())  # type: ignore[arg-type]


def test_a_price_that_cannot_be_read_costs_the_value_and_not_the_event(tmp_path: Path) -> None:
    head = "user_id,item_id,event_time,event_type,price\n"
    rows = [
        "u,a,2024-01-01,view,",
        "u,b,2024-01-02,cart,n/a",
        'u,c,2024-01-03,purchase,"$1,234.50"',
        "u,d,2024-01-04,purchase,9",
    ]
    events = written(tmp_path, head + "\n".join(rows) + "\n")
    assert [(event.event_type.value, event.value) for event in events] == [
        *(("view", None), ("cart", None), ("purchase", 1234.5), ("purchase", 9.0))
    ]


@pytest.mark.parametrize("header", ["Lineitem price", "Item Cost", "UnitPrice", "total_amount"])
def test_a_column_of_prices_makes_purchases(tmp_path: Path, header: str) -> None:
    (event,) = written(tmp_path, f"user_id,sku,date,{header},qty\nu,a,2024-01-01,34.9,3\n", columns={"value": header})
    assert (event.event_type, event.value, event.quantity) == (EventType.PURCHASE, 34.9, 3)
    (event,) = written(tmp_path, "user_id,sku,date,x\nu,a,2024-01-01,34.9\n", columns={"price": "x"})
    assert (event.event_type, event.value) == (EventType.PURCHASE, 34.9)
    (event,) = written(tmp_path, "user_id,sku,date,x\nu,a,2024-01-01,4\n", columns={"value": "x"})
    assert (event.event_type, event.value) == (EventType.RATING, 4.0)


def test_a_file_of_one_type_can_be_called_one(tmp_path: Path) -> None:
    (event,) = written(tmp_path, "user_id,item_id,date\nu,a,2024-01-01\n", event_type="view")
    assert event.event_type == EventType.VIEW


def test_an_event_that_is_named_counts_once(tmp_path: Path) -> None:
    head = "event_id,user_id,item_id,date\n"
    events = written(tmp_path, head + "e1,u,a,2024-01-01\ne1,u,a,2024-01-01\n,u,b,2024-01-02\n")
    assert events[0].event_id == "e1"
    assert events[1].event_id not in ("", "e1")


def test_what_was_taken_back_takes_back(tmp_path: Path) -> None:
    head = "user_id,item_id,date,quantity,status\n"
    rows = ["u,a,2024-01-01,2,completed", "u,a,2024-01-02,-1,completed", "u,a,2024-01-03,1,wc-cancelled"]
    events = written(tmp_path, head + "\n".join(rows) + "\n")
    assert [(event.event_type.value, event.quantity) for event in events] == [
        ("purchase", 2),
        ("return", 1),
        ("cancel", 1),
    ]


@pytest.mark.parametrize("kind", ["return", "cancel"])
def test_the_sign_of_what_is_sent_back_says_nothing_more(tmp_path: Path, kind: str) -> None:
    events = written(
        tmp_path, f"user_id,item_id,date,type,quantity\nu,a,2024-01-01,{kind},-12\nu,b,2024-01-01,{kind},3\n"
    )
    assert [(event.event_type.value, event.quantity) for event in events] == [(kind, 12), (kind, 3)]


def test_a_second_header_is_no_row(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", "user_id,item_id,date\nu,a,2024-01-01\nuser_id,item_id,date\nu,b,2024-01-02\n")
    table = read(file)
    assert (len(table), table.rejected) == (2, {"the header again": 1})


def test_a_file_without_times_is_refused_where_they_are_needed(tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", "user_id,item_id,bought\nu,a,2024-01-01\n")
    with pytest.raises(UnreadableFile, match=r"no column of times among .*--time-col.*--no-times"):
        read(file, SourceOptions(times_needed=True))
    assert read(file, SourceOptions(columns={"time": "bought"}, times_needed=True)).rejected == {}


@pytest.mark.parametrize("header", ["created_at", "t_dat", "TRANSACTION_DT", "order_purchase_timestamp"])
def test_times_are_known_by_the_names_of_the_trade(tmp_path: Path, header: str) -> None:
    (event,) = written(tmp_path, f"user_id,article_id,{header}\nu,a,2018-09-21\n")
    assert event.event_time == datetime(2018, 9, 21, tzinfo=UTC)


@pytest.mark.parametrize("word", ["nan", "NULL", "\\N", "undefined"])
def test_a_word_for_no_value_is_no_shopper(tmp_path: Path, word: str) -> None:
    file = write(
        tmp_path / "f.csv", f"user_id,item_id,date\n{word},a,2024-01-01\nu,{word},2024-01-01\n12.0,a,2024-01-01\n"
    )
    table = read(file)
    assert [event.user_id for event in table.events()] == ["12"]
    assert table.rejected == {"no user": 1, "no item": 1}
    assert len(read(file, SourceOptions(literal_ids=True))) == 3


def test_a_basket_in_a_cell_is_an_event_for_each_item(tmp_path: Path) -> None:
    rows = "event_id,user_id,item_id,date\ne1,u,a|b|c,2024-01-01\n,v,b|d,2024-01-02\n,v,|,2024-01-03\n"
    file = write(tmp_path / "f.csv", rows)
    table = read(file, SourceOptions(item_separator="|"))
    found = [(event.user_id, event.item_id) for event in table.events()]
    assert found == [("u", "a"), ("u", "b"), ("u", "c"), ("v", "b"), ("v", "d")]
    assert table.rejected == {"no item": 1}
    names = [event.event_id for event in table.events()]
    assert names[:3] == ["e1", "e1-1", "e1-2"]
    assert len(set(names)) == 5
    assert [event.item_id for event in read(file).events()] == ["a|b|c", "b|d", "|"]


def test_lists_of_items_in_json_are_baskets(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"user": "u", "item": ["a", "b"]}\n{"user": "v", "item": "c"}\n{"user": "w", "item": {"x": 1}}\n')
    table = read(path)
    assert [(event.user_id, event.item_id) for event in table.events()] == [("u", "a"), ("u", "b"), ("v", "c")]
    assert table.rejected == {"id is no text": 1}


def test_weights_are_kept_as_numbers_and_count_once(tmp_path: Path) -> None:
    lines = "user_id;item_id;date;price;quantity\n" + "".join(
        f"u;i{n};2024-01-0{n};3,20;{written}\n"
        for n, written in enumerate(("0,45", "1.5", "2", "2 kg", "-0,3", "0"), 1)
    )
    table = read(write(tmp_path / "f.csv", lines))
    assert [(event.event_type.value, event.value, event.quantity) for event in table.events()] == [
        ("purchase", 3.2, 0.45),
        ("purchase", 3.2, 1.5),
        ("purchase", 3.2, 2),
        ("purchase", 3.2, None),
        ("return", 3.2, 0.3),
    ]
    assert table.rejected == {"quantity out of bounds": 1}
