"""Catalogue columns: what criteria ask of items, as columns, so that a filter over the whole catalogue takes no time.

Arrives: items, again and again: new ones, changed ones, all in turn (`serving.online.following`). Leaves: masks over
the items of a model. Next: `serving.online.ranking`.

An item has a place: the number under which it came first. Places never change, so what is derived from them stays valid
while items come and change. The masks say the same as `serving.rules.criteria.Criteria.matches`; a property test holds
the two to each other. Whether an item can be bought now is the model's to know (`serving.followed_models`).
"""

import threading
from collections.abc import Sequence

import msgspec
import numpy as np

from graphstore.arrays import BoolArray, Float64Array, IntArray
from graphstore.catalogue import Item
from serving.online.name_column import NameColumn
from serving.rules.criteria import Criteria, text_of

_START = 1024


class CatalogueColumns:
    """The items by place. One thread changes them while others ask."""

    def __init__(self) -> None:
        self.whole = False
        """Whether every item was taken once. Until then an answer would lack items, and nobody would know."""
        self._lock = threading.Lock()
        self._encode = msgspec.msgpack.Encoder().encode
        self._places: dict[str, int] = {}  # by item_id
        self._keys: IntArray = np.empty(_START, dtype=np.int64)
        self._prices: Float64Array = np.empty(_START, dtype=np.float64)
        self._hashes: IntArray = np.empty(_START, dtype=np.int64)
        self._categories, self._brands, self._attributes = NameColumn(), NameColumn(), NameColumn()
        self._order: IntArray = np.empty(0, dtype=np.int64)  # places by key

    def __len__(self) -> int:
        return len(self._places)

    def take(self, items: Sequence[Item]) -> int:
        """Add the items, or replace what is known of them. Return how many were new or had changed.

        The lock is held for one item at a time: whoever ranks does not wait for a batch.
        """
        taken = 0
        for item in items:
            seen = hash(self._encode(item))
            place = self._places.get(item.item_id)
            if place is not None and self._hashes[place] == seen:
                continue
            with self._lock:
                self._put(item, len(self._places) if place is None else place, seen)
            taken += 1
        return taken

    def _put(self, item: Item, place: int, seen: int) -> None:
        if place == len(self._keys):
            self._keys, self._prices, self._hashes = (
                np.concatenate([column, np.empty_like(column)]) for column in (self._keys, self._prices, self._hashes)
            )
        self._keys[place], self._hashes[place] = item.item_key, seen
        self._prices[place] = np.nan if item.price is None else item.price
        self._categories.put(place, item.categories)
        self._brands.put(place, (item.brand,))
        self._attributes.put(place, [(name, text_of(value)) for name, value in item.attributes.items()])
        self._places[item.item_id] = place  # last: now the place counts

    def keys_of(self, item_ids: Sequence[str]) -> list[int | None]:
        """Return the keys of the items, None for an unknown one."""
        places = self._places
        return [None if (place := places.get(item_id)) is None else int(self._keys[place]) for item_id in item_ids]

    def places_of(self, item_keys: IntArray) -> IntArray:
        """Return the places [n] of item keys, −1 for an unknown item."""
        size = len(self._places)
        if not size:
            return np.full(len(item_keys), -1, dtype=np.int64)
        keys = self._keys[:size]
        if len(self._order) != size:
            self._order = np.argsort(keys, kind="stable")
        order = self._order
        indices = np.searchsorted(keys, item_keys, sorter=order).clip(max=size - 1)
        places = order[indices]
        return np.where(keys[places] == item_keys, places, -1)

    def allowed(
        self, criteria: Sequence[Criteria], *, without: Sequence[str] = (), only: Sequence[str] | None = None
    ) -> BoolArray:
        """Return which places [places + 1] match all criteria, are not in `without` and, if it is given, in `only`.

        The last entry is False, so that the place −1 of an unknown item finds it.
        """
        with self._lock:
            size = len(self._places)
            allowed = np.ones(size + 1, dtype=np.bool_)
            if only is not None:
                allowed = self._are_among(only, size)
            for one in criteria:
                allowed &= self._matching(one, size)
            if without:
                allowed &= ~self._are_among(without, size)
        allowed[size] = False
        return allowed

    def _matching(self, criteria: Criteria, size: int) -> BoolArray:
        matching = np.ones(size + 1, dtype=np.bool_)
        for names, column in ((criteria.categories, self._categories), (criteria.brands, self._brands)):
            if names:
                matching &= _marked(column, names, size)
        for name, values in criteria.attributes.items():
            matching &= _marked(self._attributes, [(name, value) for value in values], size)
        for names, column in (
            (criteria.without_categories, self._categories),
            (criteria.without_brands, self._brands),
        ):
            if names:
                matching &= ~_marked(column, names, size)
        if criteria.price_min is not None or criteria.price_max is not None:
            prices = self._prices[:size]
            matching[:size] &= prices >= (0.0 if criteria.price_min is None else criteria.price_min)  # NaN: never
            if criteria.price_max is not None:
                matching[:size] &= prices <= criteria.price_max
        if criteria.without_items:
            matching &= ~self._are_among(criteria.without_items, size)
        return matching

    def _are_among(self, item_ids: Sequence[str], size: int) -> BoolArray:
        among = np.zeros(size + 1, dtype=np.bool_)
        among[[place for item_id in item_ids if (place := self._places.get(item_id)) is not None]] = True
        return among


def _marked(column: NameColumn, names: Sequence[object], size: int) -> BoolArray:
    marked = np.zeros(size + 1, dtype=np.bool_)
    column.mark(names, marked)
    return marked
