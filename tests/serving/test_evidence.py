"""What an explanation says is what the ranker and the shop's counts say."""

import orjson
import pytest

from graphstore.catalogue import Item
from serving.evidence import carrier_keys, tell
from serving.online.protocol import Carrier, Evidence
from serving.rules.candidate import PIN, Candidate, Chosen
from stream.events import EventType

TEA, MILK, CUP = Item(1, "tea", title="Tea"), Item(2, "milk", title="Milk"), Item(3, "cup")
NAMES = {one.item_key: one for one in (TEA, MILK, CUP)}


def chosen(item: Item, *rules: str) -> Chosen:
    return Chosen(Candidate(item, 1.0, "online"), 1.0, 1.0, rules)


def carrier(item: Item, share: float, event_type: EventType = EventType.PURCHASE, term: str = "filters") -> Carrier:
    return Carrier(item_key=item.item_key, event_type=event_type, share=share, term=term)


def evidence(item: Item, *carriers: Carrier, **terms: float) -> Evidence:
    return Evidence(item_key=item.item_key, terms=terms, carriers=carriers)


def reason(item: Item, *carriers: Carrier, together: dict[str, dict[int, int]] | None = None) -> str | None:
    return tell([chosen(item)], [evidence(item, *carriers)], NAMES, together or {})[0].reason


def test_the_answer_of_an_explanation() -> None:
    carriers = (carrier(CUP, 0.2, EventType.VIEW, "graphsage"), carrier(TEA, 0.5))
    [told] = tell(
        [chosen(MILK, "boost", "quota")],
        [evidence(MILK, *carriers, trend=0.5, filters=1.5)],
        NAMES,
        {"tea": {2: 14}, "cup": {2: 3}},
    )
    assert orjson.loads(orjson.dumps(told.evidence)) == {
        "terms": {"trend": 0.5, "filters": 1.5},
        "because": [
            {"item_id": "tea", "title": "Tea", "event_type": "purchase", "share": 0.5, "term": "filters"},
            {"item_id": "cup", "title": "", "event_type": "view", "share": 0.2, "term": "graphsage"},
        ],
        "path": {"item_id": "tea", "shoppers": 14},
        "rules": ["boost", "quota"],
    }
    assert told.reason == "you bought Tea; 14 shoppers who bought Tea bought Milk"


def test_an_event_with_a_path_is_the_reason_before_a_larger_one_without() -> None:
    found = reason(MILK, carrier(TEA, 0.6), carrier(CUP, 0.3, EventType.VIEW), together={"cup": {2: 1}})
    assert found == "you looked at cup; 1 shopper who bought cup bought Milk"


@pytest.mark.parametrize(
    ("event_type", "words"),
    [
        (EventType.VIEW, "you looked at Tea"),
        (EventType.CLICK, "you looked at Tea"),
        (EventType.CART, "you put Tea into the cart"),
        (EventType.PURCHASE, "you bought Tea"),
        (EventType.RATING, "you rated Tea"),
    ],
)
def test_each_event_has_its_words(event_type: EventType, words: str) -> None:
    assert reason(MILK, carrier(TEA, 0.6, event_type)) == words


def test_an_item_is_no_path_to_itself() -> None:
    assert reason(TEA, carrier(TEA, 0.9), together={"tea": {1: 99}}) == "you bought it"


def test_what_spoke_against_the_item_or_has_left_the_catalogue_is_not_told() -> None:
    gone = Carrier(item_key=9, event_type=EventType.PURCHASE, share=0.9, term="filters")
    [told] = tell([chosen(MILK)], [evidence(MILK, carrier(TEA, -0.5), gone)], NAMES, {"tea": {2: 14}})
    assert (told.reason, told.evidence.because, told.evidence.path) == (None, [], None)


def test_without_an_event_the_trend_may_be_the_reason() -> None:
    told = tell(
        [chosen(MILK), chosen(TEA)],
        [evidence(MILK, trend=2.0, content=1.0), evidence(TEA, trend=-1, content=1)],
        {},
        {},
    )
    assert [one.reason for one in told] == ["popular now", None]


def test_a_pin_is_the_choice_of_the_shop() -> None:
    [told] = tell([chosen(MILK, PIN)], [evidence(MILK, carrier(TEA, 0.6))], NAMES, {})
    assert (told.reason, len(told.evidence.because)) == ("chosen by the shop", 1)


def test_without_the_ranker_only_the_rules_are_told() -> None:
    [told] = tell([chosen(MILK, "fatigue")], [], {}, {})
    assert (told.reason, told.evidence.terms, told.evidence.rules) == (None, {}, ("fatigue",))


def test_the_items_of_all_events_are_named_once() -> None:
    assert carrier_keys([evidence(MILK, carrier(TEA, 1), carrier(CUP, 1)), evidence(CUP, carrier(TEA, 1))]) == [1, 3]
