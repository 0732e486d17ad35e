"""Draft: one list while it is made, and what its kinds and rules know of it.

Arrives: a request and its visit. Leaves: which items may be in the list, and the context of the rules. Next: the kinds
of slots propose items for it (`serving.slots.kinds`), and `serving.slots.fill` chooses among them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import NamedTuple

from graphstore.catalogue import Item
from serving.rules.candidate import Candidate
from serving.rules.context import RuleContext, needs
from serving.rules.criteria import NO_CRITERIA, Criteria
from serving.rules.filters import Filter, passes
from serving.rules.pins import wanted
from serving.shop_lists.lists import ShopEntry
from serving.slots.request import ListRequest
from serving.slots.slot import ABOUT_ITEMS, WITH_CATEGORY, Kind
from serving.slots.visit import Visit


class Batch(NamedTuple):
    """Items that a kind proposes, best first, and the time of their scores."""

    candidates: list[Candidate]
    as_of: datetime
    goes_on: bool = False
    """Whether its scores compare with those of the batch before. If not, its items stand below them."""


@dataclass
class Draft:
    """One list while it is made."""

    visit: Visit
    request: ListRequest
    version: str
    """The model that serves the list. Empty: no model is published."""
    degraded: str | None = None
    """What is away, once it was asked in vain."""
    session_counted: bool = False
    """Whether the scores know the session: the ranker has answered."""
    exhausted: bool = False
    """Whether the ranker has named all items that match."""

    @cached_property
    def criteria(self) -> tuple[Criteria, ...]:
        """The request's criteria, its category among them. The slot's own are in its rules."""
        criteria = () if self.request.criteria == NO_CRITERIA else (self.request.criteria,)
        category = self.request.in_category
        return (*criteria, Criteria(categories=(category,))) if category and self._of_category else criteria

    @property
    def reranks(self) -> bool:
        """Whether only the items of the request may be in the list."""
        return bool(self.request.items) and self.request.slot.kind not in ABOUT_ITEMS

    @property
    def category(self) -> str | None:
        """The one category that all items have, None when there is no such."""
        if self._of_category and self.request.in_category:
            return self.request.in_category
        named = self.request.criteria.categories or self.request.slot.rules.only.categories
        return named[0] if len(named) == 1 else None

    @property
    def _of_category(self) -> bool:
        return self.request.slot.kind in WITH_CATEGORY

    @cached_property
    def session_items(self) -> list[Item]:
        """The items that the session touched, newest first, the cart before all."""
        touched = [*self.request.cart, *(event.item_id for event in reversed(self.request.session))]
        found = self.visit.store.items.by_id(list(dict.fromkeys(touched)))
        return [item for item in found if item is not None]

    @cached_property
    def about(self) -> list[Item]:
        """The items that the list is about: those of the request, else the cart, else what was looked at last."""
        given = list(self.request.items or self.request.cart)
        if given:
            return [item for item in self.visit.store.items.by_id(given) if item is not None]
        if self.session_items:
            return self.session_items[:1]
        last = [item_id for item_id, _ in self.visit.recent[:1]]
        return [item for item in self.visit.store.items.by_id(last) if item is not None]

    @cached_property
    def hidden(self) -> set[str]:
        """Item ids and product ids that the list may not show, whatever proposes them."""
        hidden = set(self.visit.taken)
        kind = self.request.slot.kind
        if kind in ABOUT_ITEMS:
            hidden.update(self.request.items)
            for item in self.about:
                hidden.update(names_of(item))
        if kind is Kind.DISCOVER:
            hidden |= self.visit.seen | {item.item_id for item in self.session_items}
        return hidden

    @cached_property
    def context(self) -> RuleContext:
        """What the rules know, read as far as the slot's rules use it."""
        visit, rules = self.visit, self.request.slot.rules
        used = needs(rules)
        repurchase = visit.store.shop.repurchase() if used.repurchase else {}
        bought = used.bought and bool(repurchase or rules.repurchase_days or rules.bought_within_days)
        visit.read_together(self.version, bought=bought, shown_before=used.shown)
        pins = visit.store.items.by_id(wanted(rules, self.request.k))
        return RuleContext(
            now=visit.now_ms,
            criteria=self.criteria,
            cart=frozenset(self.request.cart),
            bought=visit.bought if bought else {},
            shown=visit.shown if used.shown else {},
            repurchase=repurchase,
            pinned=tuple(item for item in pins if item is not None and not self._is_hidden(item)),
        )

    def context_for(self, candidates: Sequence[Candidate]) -> RuleContext:
        """Return the context with what depends on the candidates: their vectors, and whether the session is counted."""
        vectors = None
        if needs(self.request.slot.rules).vectors and self.version:
            keys = [candidate.item.item_key for candidate in candidates]
            vectors = self.visit.store.shop.vectors(self.version, keys)
        session = () if self.session_counted else tuple(self.session_items)
        if vectors is None and not session:
            return self.context
        return replace(self.context, vectors=vectors, session=session)

    def filters(self) -> Callable[[Item], bool]:
        """Return `may_show` after all that it needs is read, the stored list with it."""
        _ = self._passes
        return self.may_show

    def may_show(self, item: Item) -> bool:
        """Return whether the item passes the filters, and no other list of the call shows it."""
        return self._passes(item) and not self._is_hidden(item) and (not self.reranks or item.item_id in self._only)

    @cached_property
    def _only(self) -> frozenset[str]:
        return frozenset(self.request.items)

    def kept(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Return the candidates that the list may show: `may_show` for many."""
        return self._unhidden(self._passes.kept(candidates))

    def newest(self) -> list[Candidate]:
        """Return the shop's newest items that the list may show, the newest first."""
        return self._unhidden(self._passes.newest(self.visit.store.items.newest()))

    def _unhidden(self, candidates: list[Candidate]) -> list[Candidate]:
        if self.hidden:
            candidates = [one for one in candidates if not self._is_hidden(one.item)]
        if self.reranks:
            candidates = [one for one in candidates if one.item.item_id in self._only]
        return candidates

    @cached_property
    def _passes(self) -> Filter:
        return passes(self.request.slot.rules, self.context)

    def _is_hidden(self, item: Item) -> bool:
        return bool(self.hidden) and not self.hidden.isdisjoint(names_of(item))

    def by_key(self, item_keys: Sequence[int], scores: Sequence[float], source: str) -> list[Candidate]:
        """Return candidates for items of a model. Those that left the catalogue are left out."""
        items = self.visit.store.items.by_key(item_keys)
        return [Candidate(item, score, source) for item, score in zip(items, scores, strict=True) if item is not None]

    def by_id(self, scored: Sequence[tuple[str, float]], source: str) -> list[Candidate]:
        """Return candidates for items by id. Those that left the catalogue are left out."""
        items = self.visit.store.items.by_id([item_id for item_id, _ in scored])
        return [
            Candidate(item, score, source) for item, (_, score) in zip(items, scored, strict=True) if item is not None
        ]

    def of_shop(self, entries: Sequence[ShopEntry], source: str) -> list[Candidate]:
        """Return candidates for entries of a shop list."""
        return self.by_key([entry.item_key for entry in entries], [entry.score for entry in entries], source)

    def scored(self, found: Sequence[tuple[Item, float]], source: str) -> list[Candidate]:
        """Return candidates for items that are read already."""
        return [Candidate(item, score, source) for item, score in found]


def names_of(item: Item) -> tuple[str, ...]:
    """Return what a list may hold once: the item, and the product that it is a variant of."""
    return (item.item_id,) if item.product_id is None else (item.item_id, product_name(item.product_id))


def product_name(product_id: str) -> str:
    """Return the product's name among item ids: no item id holds a NUL."""
    return f"\x00{product_id}"
