"""Catalogue: the calls that tell and read items. Kafka has acknowledged what they count as accepted."""

from collections.abc import Sequence

import msgspec

from serving.client.answers import KnownItem, Taken
from serving.client.call import Call, pairs, path
from serving.client.told import Item, ItemChange, Stock

_read_taken = msgspec.json.Decoder(Taken).decode
_read_item = msgspec.json.Decoder(KnownItem).decode


def item(item_id: str) -> Call[KnownItem]:
    """The item as readers see it. Raises `NotFound`."""
    return Call("GET", path("items", item_id), _read_item)


def put_items(items: Sequence[Item]) -> Call[Taken]:
    """Tell whole entries, at most 500. Raises `BadRequest` when none was good."""
    return Call("PUT", path("items"), _read_taken, body=items)


def change_items(changes: Sequence[ItemChange]) -> Call[Taken]:
    """Tell new values of some fields of items, at most 500 items."""
    return Call("PATCH", path("items"), _read_taken, body=changes)


def delete_items(item_ids: Sequence[str]) -> Call[Taken]:
    """Take items out of the shop. What shoppers did with them stays."""
    return Call("DELETE", path("items"), _read_taken, query=pairs("item_id", item_ids))


def put_item(entry: Item) -> Call[Taken]:
    """Tell one whole entry."""
    return Call("PUT", path("items", entry.item_id), _read_taken, body=entry)


def change_item(change: ItemChange) -> Call[Taken]:
    """Tell new values of some fields of one item."""
    return Call("PATCH", path("items", change.item_id), _read_taken, body=change)


def delete_item(item_id: str) -> Call[Taken]:
    """Take one item out of the shop."""
    return Call("DELETE", path("items", item_id), _read_taken)


def stock(counts: Sequence[Stock]) -> Call[Taken]:
    """Tell how many are left of items, as numbers: a difference that is sent twice would count twice."""
    return Call("POST", path("items", "stock"), _read_taken, body=counts)
