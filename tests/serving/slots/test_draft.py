from graphstore.redis import hot
from serving.rules.criteria import Criteria
from serving.rules.rule_set import Pin, RuleSet
from serving.slots.draft import names_of, product_name
from serving.slots.slot import Kind, Slot
from tests.serving.slots.small_shop import DAY_MS, NOW_MS, Shop, item


def test_nothing_is_read_of_the_shopper_that_no_rule_uses(shop: Shop) -> None:
    commands = shop.redis.info("commandstats")
    context = shop.draft(Slot(rules=RuleSet(repurchase=False))).context
    after = shop.redis.info("commandstats")
    assert (context.bought, context.shown) == ({}, {})
    assert commands.get("cmdstat_zrange") == after.get("cmdstat_zrange")
    assert commands.get("cmdstat_hgetall") == after.get("cmdstat_hgetall")


def test_what_the_rules_use_is_read(shop: Shop) -> None:
    shop.redis.zadd(hot.bought_key("ann"), {"i1": NOW_MS - DAY_MS})
    assert shop.draft(Slot(rules=RuleSet(bought_within_days=3))).context.bought == {"i1": NOW_MS - DAY_MS}
    assert shop.draft(Slot()).context.bought == {}  # no category has taught when to buy again
    shop.redis.hset("repurchase", "odd", 10.0)
    assert shop.draft(Slot()).context.bought == {"i1": NOW_MS - DAY_MS}
    assert shop.draft(Slot(), None).context.bought == {}


def test_the_category_of_a_list_is_a_criterion_of_all_its_sources(shop: Shop) -> None:
    own = Criteria(brands=("own",))
    draft = shop.draft(Slot(kind=Kind.CATEGORY, category="odd"), criteria=own)
    assert draft.criteria == (own, Criteria(categories=("odd",)))
    assert (draft.category, shop.draft(Slot(kind=Kind.CATEGORY, category="odd"), category="even").category) == (
        "odd",
        "even",
    )
    assert shop.draft(Slot(), criteria=Criteria(categories=("even",))).category == "even"
    assert shop.draft(Slot(), criteria=Criteria(categories=("even", "odd"))).category is None
    assert shop.draft(Slot(category="odd")).criteria == ()  # for_you has no category


def test_a_pin_that_another_list_shows_is_no_pin(shop: Shop) -> None:
    draft = shop.draft(Slot(rules=RuleSet(pin=(Pin(item_id="i5", position=0), Pin(item_id="ghost", position=1)))))
    assert [one.item_id for one in draft.context.pinned] == ["i5"]
    draft = shop.draft(Slot(rules=RuleSet(pin=(Pin(item_id="i5", position=0),))))
    draft.visit.taken.add("i5")
    assert draft.context.pinned == ()


def test_an_item_and_its_product_have_two_names_that_no_item_id_has(shop: Shop) -> None:
    assert names_of(item(1)) == ("i1",)
    assert names_of(item(1, product="i2")) == ("i1", product_name("i2"))
    assert product_name("i2") != "i2"


def test_vectors_are_read_for_a_slot_that_mixes(shop: Shop) -> None:
    draft = shop.draft(Slot(rules=RuleSet(diversity=0.5)))
    assert draft.context_for([]).vectors == {}
    assert shop.draft(Slot()).context_for([]).vectors is None
