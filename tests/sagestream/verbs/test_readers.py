"""`recommend`, `similar`, `explain` on a published toy shop: titles, reasons, and clear words for what is not there."""

from pathlib import Path

import pytest
from redis import Redis

from graphstore.catalogue import Item
from graphstore.redis import hot, item_store
from tests.sagestream.verbs.commands import run
from tests.serving.toy import ITEMS, fill_redis

FIGS = Item(16, "figs", title="Figs [bold]\x1b[31m", categories=["food"])
GRAPES = Item(17, "grapes", title="Grapes", available=False)


@pytest.fixture
def shop(redis: Redis, settings: dict[str, str]) -> dict[str, str]:
    """Lists for ann over five items; figs and grapes are in the catalogue alone."""
    fill_redis(redis)
    item_store.set_items(redis, [*ITEMS, FIGS, GRAPES])
    hot.record(redis, [("ann", "bread", 1)], keep=10)
    return settings


def test_a_list_with_titles_and_reasons(shop: dict[str, str]) -> None:
    done = run("recommend", "ann", "--k", "2", settings=shop)
    assert (done.code, done.error) == (0, None)
    assert "ann: batch list of m1" in done.out
    assert "Elder" in done.out
    told = run("recommend", "ann", "--k", "2", "--json", settings=shop).json
    assert [item["title"] for item in told["items"]] == ["Elder", "Apple"]
    assert (told["source"], told["model_version"]) == ("batch", "m1")


def test_a_list_by_the_rules_of_a_slot(shop: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "slots.toml"
    path.write_text("[corner]\nkind = 'recently_viewed'\nfallback = []")
    mine = shop | {"SLOTS_FILE": str(path)}
    told = run("recommend", "ann", "--slot", "corner", "--json", settings=mine).json
    assert ([item["item_id"] for item in told["items"]], told["slot"]) == (["bread"], "corner")
    assert told["items"][0]["evidence"]["rules"] == []
    assert run("explain", "ann", "bread", "--slot", "corner", "--json", settings=mine).json["position"] == 0
    unknown = run("recommend", "ann", "--slot", "nowhere", settings=mine)
    assert (unknown.code, "no slot 'nowhere': there are best_sellers" in str(unknown.error)) == (1, True)
    assert run("recommend", "ann", "--slot", "corner", "--model", "m1", settings=mine).code == 2


def test_an_unknown_shopper_is_told_whose_list_it_is(shop: dict[str, str]) -> None:
    done = run("recommend", "nobody", settings=shop)
    assert done.code == 0
    assert "nobody: no list of their own, the popular list of m1" in " ".join(done.out.split())


def test_similar_items_with_titles(shop: dict[str, str]) -> None:
    done = run("similar", "apple", settings=shop)
    assert "Bread" in done.out
    assert [item["title"] for item in run("similar", "apple", "--json", settings=shop).json["items"]] == [
        "Bread",
        "Cheese",
    ]
    unknown = run("similar", "zebra", settings=shop)
    assert (unknown.code, str(unknown.error)) == (1, "no item 'zebra'")


def test_why_an_item_stands_where_it_stands(shop: dict[str, str]) -> None:
    told = run("explain", "ann", "bread", "--json", settings=shop).json
    assert (told["position"], told["title"], told["reason"]) == (2, "Bread", "from your history")
    assert told["model_version"] == "m1"
    assert "Cheese: position 3, score 2.000, goes with Bread" in run("explain", "ann", "cheese", settings=shop).out


def test_why_an_item_is_not_in_the_list(shop: dict[str, str], redis: Redis) -> None:
    done = run("explain", "ann", "grapes", settings=shop)
    assert (done.code, done.out) == (0, "Grapes: not in the list, it cannot be bought\n")
    told = run("explain", "ann", "figs", "--json", settings=shop).json
    assert (told["item_id"], told["title"], told["position"], told["score"]) == ("figs", FIGS.title, None, None)
    assert told["reason"].startswith("it ranks below the 5 items of the list; nothing in their history")
    hot.record(redis, [("ann", "figs", 2)], keep=10)
    bought = run("explain", "ann", "figs", "--json", settings=shop).json
    assert bought["reason"].endswith("or this model lists nothing twice; from your history")
    nothing = run("explain", "ann", "zebra", settings=shop)
    assert (nothing.code, str(nothing.error)) == (1, "no item 'zebra' in the catalogue")


def test_a_title_is_no_markup_and_no_command_of_a_terminal(shop: dict[str, str], redis: Redis) -> None:
    item_store.set_items(redis, [Item(15, "elder", title="El[red]der[/red]\x1b[2J")])
    for words in (("recommend", "ann"), ("explain", "ann", "elder")):
        shown = run(*words, settings=shop).out
        assert "El[red]der[/red]\\x1b[2J" in shown
        assert "\x1b[2J" not in shown


def test_before_anything_is_published(settings: dict[str, str]) -> None:
    for words in (("recommend", "u"), ("similar", "i"), ("explain", "u", "i")):
        done = run(*words, settings=settings)
        assert (done.code, type(done.error).__name__) == (1, "NothingPublished")
        assert "no model is published" in str(done.error)
