"""Gram blocks: the products G[J, J] of some items J, without G.

Arrives: the interactions X [num_users, num_items]. Leaves: blocks of G = XᵀX. Next: `training.terms.local_ridge` solves
a regression with each.

The products of two rare items are summed over the users of the second one, who know the first from a linked list. For
an item that nearly everybody has, that is much work, and bestsellers are near to all other items: so much work for each
of a hundred thousand items. So the products between the `HUBS` most frequent items are summed once. Where that is less
work, a block reads them, and sums those of a hub with a rare item over the few users of the rare one. The sums are the
same, bit for bit: always over the common users, in their order.
"""

from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphstore.arrays import Float64Array, IntArray
from training.compiled import compiled

HUBS = 2_048
"""The most frequent items, whose products are kept: 34 MB."""


class Entries(NamedTuple):
    """The entries of a sparse matrix, row by row."""

    offsets: IntArray
    indices: npt.NDArray[np.int32]
    values: Float64Array

    @classmethod
    def of(cls, matrix: sparse.csr_array | sparse.csc_array) -> Self:
        """Return the entries, with the dtypes of the compiled loops."""
        return cls(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.float64))


class Interactions(NamedTuple):
    """X in both directions, and its hubs."""

    by_user: Entries
    """The items of each user, hubs first."""
    by_item: Entries
    squares: Float64Array
    """[num_items] The diagonal of G."""
    hub: npt.NDArray[np.int32]
    """[num_items] The number of a hub, −1 for the other items."""
    hub_ends: IntArray
    """[num_users] Where the hubs of each user end."""
    hub_products: Float64Array
    """[hubs, hubs] G between hubs."""
    hub_visits: IntArray
    """[num_items] The hubs of all users of an item: what the products of the item with all hubs cost."""

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> Self:
        """Return the interactions [num_users, num_items] with their hubs."""
        by_user, by_item = Entries.of(matrix), Entries.of(matrix.tocsc())
        num_items = matrix.shape[1]
        squares = np.bincount(by_user.indices, by_user.values**2, minlength=num_items).astype(np.float64, copy=False)
        frequent = np.argsort(-np.diff(by_item.offsets), kind="stable")[:HUBS]
        hub = np.full(num_items, -1, dtype=np.int32)
        hub[frequent] = np.arange(len(frequent))
        ends, products = _hubs_first(by_user, hub, len(frequent))
        visits = np.concatenate([[0], np.cumsum((ends - by_user.offsets[:-1])[by_item.indices])])
        hub_visits = np.diff(visits[by_item.offsets])
        return cls(by_user, by_item, squares, hub, ends, products, hub_visits)


class Scratch(NamedTuple):
    """Memory that all blocks use, one after the other."""

    place: npt.NDArray[np.int32]
    """[num_items] The place of an item in the block, −1."""
    chain: IntArray
    """[num_users] The last link of each user, −1."""
    before: IntArray
    """[links] The link before."""
    member: npt.NDArray[np.int32]
    """[links] The place of the link's item."""
    value: Float64Array
    """[links] The value of the link's item."""

    @classmethod
    def of(cls, known: Interactions, links: int) -> Self:
        """Return memory for blocks with so many links."""
        return cls(
            np.full(len(known.squares), -1, dtype=np.int32),
            np.full(len(known.hub_ends), -1, dtype=np.int64),
            np.empty(links, dtype=np.int64),
            np.empty(links, dtype=np.int32),
            np.empty(links),
        )


@compiled()
def _hubs_first(by_user: Entries, hub: npt.NDArray[np.int32], hubs: int) -> tuple[IntArray, Float64Array]:
    """Put the hubs of each user first, in place, in their order. Return their ends, and the products between hubs."""
    offsets, items, values = by_user
    num_users = len(offsets) - 1
    ends = np.empty(num_users, dtype=np.int64)
    products = np.zeros((hubs, hubs))
    for user in range(num_users):
        own_items, own_values = items[offsets[user] : offsets[user + 1]], values[offsets[user] : offsets[user + 1]]
        other_items, other_values = own_items.copy(), own_values.copy()
        count = 0
        for index in range(len(own_items)):
            if hub[other_items[index]] >= 0:
                own_items[count], own_values[count] = other_items[index], other_values[index]
                count += 1
        ends[user] = offsets[user] + count
        for p in range(count):
            for q in range(count):
                products[hub[own_items[p]], hub[own_items[q]]] += own_values[p] * own_values[q]
        for index in range(len(own_items)):
            if hub[other_items[index]] < 0:
                own_items[count], own_values[count] = other_items[index], other_values[index]
                count += 1
    return ends, products


@compiled()
def count_links(known: Interactions, items: IntArray) -> tuple[int, bool]:
    """Return the links of the block of these items, and whether to read the products of its hubs: the lesser work."""
    links = walked = read = 0
    for item in items:
        users = known.by_item.offsets[item + 1] - known.by_item.offsets[item]
        links += users
        if known.hub[item] >= 0:
            walked += users
        else:
            read += known.hub_visits[item]
    return (links - walked, True) if read < walked else (links, False)


@compiled()
def fill_block(block: Float64Array, known: Interactions, items: IntArray, scratch: Scratch) -> Scratch:
    """Fill the lower triangle of block[:n, :n] with G of the ascending items [n].

    Return the scratch for the next block, a larger one where this block needed it.
    """
    needed, read_hubs = count_links(known, items)
    place, chain, before, member, value = scratch
    if needed > len(before):
        room = 2 * needed
        before, member, value = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int32), np.empty(room)
    size = len(items)
    block[:size, :size] = 0.0
    for p in range(size):
        place[items[p]] = p
    links = 0
    for p in range(size):
        item = items[p]
        block[p, p] = known.squares[item]
        if read_hubs and known.hub[item] >= 0:
            for q in range(p):
                if known.hub[items[q]] >= 0:
                    block[p, q] = known.hub_products[known.hub[item], known.hub[items[q]]]
            continue
        for index in range(known.by_item.offsets[item], known.by_item.offsets[item + 1]):
            user, x = known.by_item.indices[index], known.by_item.values[index]
            link = chain[user]
            while link >= 0:
                block[p, member[link]] += x * value[link]
                link = before[link]
            before[links], member[links], value[links] = chain[user], p, x
            chain[user] = links
            links += 1
            if read_hubs:
                for at in range(known.by_user.offsets[user], known.hub_ends[user]):
                    q = place[known.by_user.indices[at]]
                    if q >= 0:
                        block[max(p, q), min(p, q)] += x * known.by_user.values[at]
    for item in items:
        place[item] = -1
        if not (read_hubs and known.hub[item] >= 0):
            for index in range(known.by_item.offsets[item], known.by_item.offsets[item + 1]):
                chain[known.by_item.indices[index]] = -1
    return Scratch(place, chain, before, member, value)
