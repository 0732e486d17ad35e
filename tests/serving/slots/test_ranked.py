from serving.online.protocol import MAX_SESSION_EVENTS, SessionEvent
from serving.rules.criteria import Criteria
from serving.rules.rule_set import RuleSet
from serving.slots.ranked import ranked, session_of
from serving.slots.slot import Slot
from tests.serving.slots.small_shop import MODEL, Shop


def test_the_ranker_is_told_the_model_the_criteria_of_slot_and_request_and_what_not_to_name(shop: Shop) -> None:
    only, own = Criteria(price_max=5.0), Criteria(brands=("own",))
    slot = Slot(rules=RuleSet(only=only))
    draft = shop.draft(slot, k=7, criteria=own, cart=("i10",))
    draft.visit.taken.update({"i20", "\x00product"})
    batch = ranked(draft, known=False)
    assert batch is not None
    assert [one.item.item_id for one in batch.candidates] == ["i40", "i30"]
    (asked,) = shop.ranker.asked
    assert (asked.model_version, asked.user_id, asked.known) == (MODEL, "ann", False)
    assert asked.criteria == (only, own)
    assert set(asked.without) == {"i10", "i20"}
    assert asked.k > 7
    assert draft.session_counted


def test_a_slot_that_offers_the_cart_does_not_leave_it_out(shop: Shop) -> None:
    ranked(shop.draft(Slot(rules=RuleSet(offer_cart=True)), cart=("i10",)))
    assert shop.ranker.asked[0].without == ()


def test_a_ranker_that_is_away_is_asked_once_for_a_list(shop: Shop) -> None:
    shop.ranker.away = "it sleeps"
    draft = shop.draft(Slot())
    assert ranked(draft) is None
    assert ranked(draft) is None
    assert draft.degraded == "ranker away: it sleeps"
    assert len(shop.ranker.asked) == 1
    assert not draft.session_counted


def test_of_a_long_session_the_newest_events_are_sent_and_the_cart_last(shop: Shop) -> None:
    session = tuple(SessionEvent(item_id=f"i{number}") for number in range(MAX_SESSION_EVENTS))
    sent = session_of(shop.draft(Slot(), session=session, cart=("c",)))
    assert len(sent) == MAX_SESSION_EVENTS
    assert (sent[0].item_id, sent[-1].item_id, sent[-1].event_type) == ("i1", "c", "cart")
