"""Evidence: says in words and figures why an item stands in a list.

Arrives: chosen items, the ranker's `Evidence` for them, and how many shoppers bought items together. Leaves: a `Told`
for each item. Next: `serving.recommend` puts it into the answer of `explain`.

Every part can be checked: the terms of the model sum to its score, each event is one of the shopper's own, each count
is of shoppers who bought both items. An item without evidence of the ranker has no reason here: `serving.explain` finds
one in Redis.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from graphstore.catalogue import Item
from serving.online.protocol import Carrier, Evidence
from serving.rules.candidate import PIN, Chosen
from stream.events import EventType

TREND = "trend"
"""The term of the model that counts all shoppers, not this one."""
PINNED = "chosen by the shop"
POPULAR = "popular now"

_DID = {
    EventType.VIEW: "looked at {}",
    EventType.CLICK: "looked at {}",
    EventType.CART: "put {} into the cart",
    EventType.PURCHASE: "bought {}",
    EventType.RATING: "rated {}",
}

Together = Mapping[str, Mapping[int, int]]
"""By item id: how many shoppers bought it and another item, by the other's item key."""


@dataclass(frozen=True, slots=True)
class Because:
    """An event of the shopper that carried the score: `share` of it, most of this in one `term` of the model."""

    item_id: str
    title: str
    event_type: str
    share: float
    term: str


@dataclass(frozen=True, slots=True)
class Path:
    """The path in the graph: so many shoppers who bought the item of the event bought the explained item, too."""

    item_id: str
    shoppers: int


@dataclass(frozen=True, slots=True)
class ItemEvidence:
    """Why one item stands where it stands. Without the ranker, only the rules are known."""

    terms: Mapping[str, float] = field(default_factory=dict)
    because: Sequence[Because] = ()
    path: Path | None = None
    rules: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """The evidence of an item, and a short reason. None: nothing speaks for the item but the model as a whole."""

    reason: str | None
    evidence: ItemEvidence


def carrier_keys(evidence: Iterable[Evidence]) -> list[int]:
    """Return the keys of all items whose events carried a score: `tell` needs their names, and what goes with them."""
    return list(dict.fromkeys(carrier.item_key for one in evidence for carrier in one.carriers))


def tell(
    chosen: Sequence[Chosen], evidence: Iterable[Evidence], names: Mapping[int, Item], together: Together
) -> list[Told]:
    """Return what there is to say of each item.

    Args:
        chosen: The items of a list.
        evidence: The ranker's evidence for some of them.
        names: The items of the events, by item key. An event with an item that has left the catalogue is not told.
        together: For the items of the events.
    """
    known = {one.item_key: one for one in evidence}
    return [_told(one, known.get(one.candidate.item.item_key), names, together) for one in chosen]


def _told(chosen: Chosen, evidence: Evidence | None, names: Mapping[int, Item], together: Together) -> Told:
    item = chosen.candidate.item
    carriers = sorted(evidence.carriers, key=lambda one: -one.share) if evidence is not None else []
    told = [(one, names[one.item_key]) for one in carriers if one.item_key in names and one.share > 0]
    # The first event that has a path is the reason: it says most.
    path_at = next((place for place, (_, other) in enumerate(told) if _shoppers(other, item, together)), None)
    path = None if path_at is None else Path(told[path_at][1].item_id, _shoppers(told[path_at][1], item, together))
    reason = None
    if PIN in chosen.rules:
        reason = PINNED
    elif told:
        reason = _reason(*told[path_at or 0], item, path)
    elif evidence is not None and evidence.terms and max(evidence.terms, key=evidence.terms.__getitem__) == TREND:
        reason = POPULAR
    because = [Because(other.item_id, other.title, one.event_type, one.share, one.term) for one, other in told]
    return Told(reason, ItemEvidence(dict(evidence.terms) if evidence else {}, because, path, chosen.rules))


def _shoppers(other: Item, item: Item, together: Together) -> int:
    return 0 if other.item_key == item.item_key else together.get(other.item_id, {}).get(item.item_key, 0)


def _reason(carrier: Carrier, other: Item, item: Item, path: Path | None) -> str:
    if other.item_key == item.item_key:
        return f"you {_DID[carrier.event_type].format('it')}"
    name = _name(other)
    did = f"you {_DID[carrier.event_type].format(name)}"
    if path is None:
        return did
    shoppers = "1 shopper" if path.shoppers == 1 else f"{path.shoppers} shoppers"
    return f"{did}; {shoppers} who bought {name} bought {_name(item)}"


def _name(item: Item) -> str:
    return item.title or item.item_id
