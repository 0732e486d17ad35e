"""From a table or two given files to logs, ids, weights and a catalogue in the order of the items."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from graphstore.tables import EVENT_TYPES, EVENT_WEIGHTS
from stream.events import EARLIEST, CatalogItem
from stream.sources.files.compressed import UnreadableFile
from stream.sources.table import COLUMNS, EventTable
from training.data.newest_events import LEFT_OUT, MAX_USER_EVENTS
from training.data.offline import TAKEN_BACK, OfflineDataset, catalogue_of, read_given
from training.features.items import item_features

NONE = float("nan")


def table(*rows: tuple[str, str, str, int, float]) -> EventTable:
    """From (type, user, item, time, quantity) in order of time."""
    found = [
        (f"e{place}", kind, user, item, time, NONE, count) for place, (kind, user, item, time, count) in enumerate(rows)
    ]
    return EventTable(pd.DataFrame(found, columns=list(COLUMNS)), [])


def item(item_id: str, **known: object) -> CatalogItem:
    return CatalogItem(item_id=item_id, event_time=EARLIEST, **known)  # type: ignore[arg-type]


def test_events_weigh_what_their_type_weighs_in_the_graph() -> None:
    found = OfflineDataset.from_table(
        table(("view", "b", "y", 1, NONE), ("purchase", "a", "x", 2, NONE), ("cart", "b", "x", 3, NONE))
    )
    assert (found.user_ids, found.item_ids) == (["a", "b"], ["x", "y"])
    assert found.log.users.tolist() == [1, 0, 1]
    assert found.log.items.tolist() == [1, 0, 0]
    assert found.log.times.tolist() == [1, 2, 3]
    assert [EVENT_TYPES[code] for code in found.log.types] == ["view", "purchase", "cart"]
    assert found.log.weights.tolist() == [EVENT_WEIGHTS[name] for name in ("view", "purchase", "cart")]
    assert (found.log.num_users, found.log.num_items, found.left_out, found.catalogue) == (2, 2, {}, None)


def test_what_was_given_back_is_no_interaction() -> None:
    found = OfflineDataset.from_table(
        table(
            ("purchase", "a", "x", 1, 4.0),
            ("purchase", "a", "y", 2, 1.0),
            ("return", "a", "y", 3, 1.0),
            ("cancel", "a", "x", 4, 1.0),
        )
    )
    assert found.log.items.tolist() == [0]
    assert found.log.weights.tolist() == [EVENT_WEIGHTS["purchase"] * 0.75]
    assert found.left_out == {TAKEN_BACK: 3}


def test_a_crawler_teaches_no_more_than_its_newest_events() -> None:
    visits = [("view", "crawler", f"i{n % 7}", n, NONE) for n in range(MAX_USER_EVENTS + 5)]
    found = OfflineDataset.from_table(table(*visits, ("view", "ann", "i0", MAX_USER_EVENTS + 5, NONE)))
    assert found.left_out == {LEFT_OUT: 5}
    assert len(found.log) == MAX_USER_EVENTS + 1
    assert found.log.times[0] == 5
    assert found.user_ids == ["ann", "crawler"]


def test_items_of_too_few_users_are_left_out_however_often_they_were_touched() -> None:
    rows = [("view", "a", "x", time, NONE) for time in range(5)] + [("view", user, "y", 9, NONE) for user in "abc"]
    found = OfflineDataset.from_table(table(*rows), min_item_users=2)
    assert found.item_ids == ["y"]
    assert len(found.log) == 3
    assert found.left_out == {"outside the sample": 5}


def test_a_sample_of_users_is_the_same_each_time() -> None:
    rows = [("view", f"u{place % 10}", f"i{place}", place, NONE) for place in range(50)]
    one, other = (OfflineDataset.from_table(table(*rows), max_users=3, seed=4) for _ in range(2))
    assert one.user_ids == other.user_ids
    assert (len(one.user_ids), len(one.log)) == (3, 15)


def test_the_catalogue_is_in_the_order_of_the_items() -> None:
    known = [item("y", title="Y", categories=["c"], brand="B", price=2.5), item("unbought")]
    catalogue = catalogue_of(["x", "y"], known)
    assert catalogue is not None
    assert catalogue.titles == ["", "Y"]
    assert catalogue.categories == [[], ["c"]]
    assert catalogue.brands == ["", "B"]
    assert np.isnan(catalogue.prices[0])
    assert catalogue.prices[1] == 2.5
    assert catalogue.available.all()
    assert catalogue_of(["x"], known) is None


def test_features_are_fitted_on_the_items_of_the_past_alone() -> None:
    rows = [("view", "u", f"i{place}", place, NONE) for place in range(8)]
    titles = ["red tea", "green tea", "black tea", "red wine", "green wine", "black wine", "red hat", "blue hat"]
    found = OfflineDataset.from_table(table(*rows), [item(f"i{n}", title=title) for n, title in enumerate(titles)])
    other = OfflineDataset.from_table(
        table(*rows), [item(f"i{n}", title=title) for n, title in enumerate([*titles[:6], "x", "y"])]
    )
    assert found.catalogue is not None
    assert other.catalogue is not None
    past = found.log.between(end=6)
    features = item_features(found.catalogue, past)
    assert features.shape[0] == 8
    assert features.dtype == np.float32
    assert np.array_equal(features[:6], item_features(other.catalogue, past)[:6])  # later items changed nothing
    assert not np.array_equal(features[6], item_features(other.catalogue, past)[6])


def test_two_given_files_share_their_rows(tmp_path: Path) -> None:
    train, test = tmp_path / "train.txt", tmp_path / "test.txt"
    train.write_text("0 7 8 8\n1 9\n2\n\n")
    test.write_text("1 7\n3 5 " + "x" * 200 + "\n")
    logs = read_given(train, test)
    assert logs.user_ids == ["0", "1", "3"]
    assert logs.item_ids == ["5", "7", "8", "9"]
    assert logs.train.users.tolist() == [0, 0, 1]
    assert logs.train.items.tolist() == [1, 2, 3]
    assert logs.test.users.tolist() == [1, 2]
    assert logs.test.items.tolist() == [1, 0]
    assert {(log.num_users, log.num_items) for log in (logs.train, logs.test)} == {(3, 4)}
    assert logs.left_out == {"lines of a user without items": 1, "lines with ids too long": 1}


@pytest.mark.parametrize("content", [b"", b"\n1\n", b"\xff\xfe 1\n"])
def test_a_given_file_without_pairs_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.txt").write_bytes(content)
    (tmp_path / "test.txt").write_text("1 2\n")
    with pytest.raises(UnreadableFile, match=r"train\.txt"):
        read_given(tmp_path / "train.txt", tmp_path / "test.txt")
    with pytest.raises(UnreadableFile, match="nowhere"):
        read_given(tmp_path / "nowhere", tmp_path / "test.txt")
