"""The tag in a real browser, on a page of another origin with a strict Content-Security-Policy."""

from collections.abc import Iterator

import pytest

from serving.links import Landing, linker
from tests.docs.pages import page as prose
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.shop_pages import Answers, Shop, two_origins
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]

SLOT = '<div data-sagestream-slot="home" data-k="4" data-link="/item/{id}"></div>'
DRAWN = "document.querySelectorAll('.sagestream-list li').length"
STORED = "JSON.stringify([localStorage.length, sessionStorage.length, document.cookie])"
NOTHING = '[0,0,""]'
SECOND_AND_MORE = "const done = arguments[0]; setTimeout(done, 1900);"
"""A look takes a second, and is said a third of a second later."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.show(1000)
        yield browser


@pytest.fixture
def page(opened: Browser) -> Iterator[tuple[Browser, Shop, Answers]]:
    """The browser of somebody who was never there, and a shop that gets nothing late of the page before."""
    with two_origins() as (shop, answers):
        shop.pages["/nothing"] = ""
        opened.open(f"{shop.origin}/nothing")
        opened.complaints.clear()
        yield opened, shop, answers


def wait_a_second_and_more(browser: Browser) -> None:
    browser.driver.set_script_timeout(20)
    browser.driver.execute_async_script(SECOND_AND_MORE)


def test_without_consent_nothing_is_stored_and_nobody_is_named(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    browser.open(shop.page("/", SLOT, consent="no"))
    wait_until(lambda: browser.value(DRAWN) == 4)
    assert answers.got == [("/recommendations/", {"session": [], "slots": [{"slot": "home", "k": 4}], "cart": []})]
    browser.run("sagestream.view('sku-3'); sagestream.cart('sku-3'); sagestream.order('o1', [{item_id: 'sku-3'}])")
    browser.run("document.querySelector('main').addEventListener('click', (event) => event.preventDefault())")
    browser.click(".sagestream-list li:nth-child(3) a")
    wait_a_second_and_more(browser)
    browser.run("sagestream.refresh()")
    wait_until(lambda: len(answers.at("/recommendations/")) == 2)
    types = [event["event_type"] for event in answers.at("/recommendations/")[1]["session"]]
    assert types == ["view", "cart", "purchase", "click"]
    assert "user_id" not in answers.at("/recommendations/")[1]
    assert {path for path, _ in answers.got} == {"/recommendations/"}
    assert browser.value(STORED) == NOTHING
    assert answers.cookies == []
    assert browser.complaints == []


def test_a_list_is_drawn_for_everybody_and_only_as_text(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, _ = page
    browser.open(shop.page("/", SLOT, consent="yes", more='data-currency="EUR"'))
    wait_until(lambda: browser.value(DRAWN) == 4)
    shown = browser.value(
        "[...document.querySelectorAll('.sagestream-list li')].map((li) => [li.innerText, "
        "li.querySelector('a').getAttribute('href'), li.querySelector('img').getAttribute('src')])"
    )
    origin = shop.origin
    assert [line[1:] for line in shown] == [
        [f"{origin}/bread", f"{origin}/bread.png"],
        [None, ""],  # no address that runs a script, and no picture out of one
        [f"{origin}/item/sku-3", ""],
        ["https://other.example/dates", ""],
    ]
    assert "<b>Bread</b>" in shown[0][0]
    assert "€" in shown[0][0]
    assert shown[1][0] == "sku-2"
    assert browser.value("document.querySelector('.sagestream-list b')") is None
    assert browser.value("document.querySelector('.sagestream-list').role") == "list"
    assert browser.complaints == []


def test_only_what_is_in_view_for_a_second_counts_as_seen(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    below = "<br>" * 150  # no style: the policy forbids it in the markup
    browser.open(shop.page("/", SLOT.replace("home", "top") + below + SLOT, consent="yes"))
    wait_until(lambda: len(answers.seen()) == 4)
    looks = answers.at("/seen/")
    assert {look["request_id"].partition(".")[0] for look in looks} == {"top"}
    assert {look["user_id"] for look in looks} == {browser.value("sagestream.visitor()")}
    browser.run("scrollTo(0, document.body.scrollHeight)")
    wait_until(lambda: len(answers.seen()) == 8)
    browser.run("scrollTo(0, 0)")
    wait_a_second_and_more(browser)
    assert sorted(answers.seen()) == sorted([*range(4)] * 2)


def test_a_click_and_all_that_follows_from_it_name_the_list(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    shop.page("/item/sku-3", "", consent="yes")
    browser.open(shop.page("/", SLOT, consent="yes"))
    browser.click(".sagestream-list li:nth-child(3) a")  # it leaves the page
    wait_until(answers.events)
    browser.run("sagestream.view('sku-3'); sagestream.cart('sku-3'); sagestream.cart('sku-9')")
    lines = "[{item_id: 'sku-3', value: 1299, quantity: 2, currency: 'EUR'}, {item_id: 'sku-9'}]"
    browser.run(f"sagestream.order('o7', {lines})")
    wait_until(lambda: len(answers.events()) == 6)
    events = answers.events()
    visitor = browser.value("sagestream.visitor()")
    assert visitor.startswith("anon-")
    assert {event["user_id"] for event in events} == {visitor}
    assert len({event["event_id"] for event in events}) == 6
    assert [event["event_type"] for event in events] == ["click", "view", "cart", "cart", "purchase", "purchase"]
    led = [(event.get("request_id"), event.get("position")) for event in events]
    of_the_list, of_none = (f"home.{visitor}", 2), (None, None)
    assert led == [of_the_list, of_the_list, of_the_list, of_none, of_the_list, of_none]
    bought = events[4]
    assert (bought["order_id"], bought["value"], bought["quantity"], bought["currency"]) == ("o7", 1299, 2, "EUR")
    assert (bought["event_id"], events[5]["event_id"]) == ("o7.0", "o7.1")  # the same when the page is opened again
    assert browser.complaints == []


def test_who_is_asked_is_nobody_until_the_answer(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    address = shop.page("/", SLOT, consent="ask")
    browser.open(address)
    wait_until(lambda: browser.value(DRAWN) == 4)
    browser.run("sagestream.view('sku-1')")
    assert browser.value(STORED) == NOTHING

    browser.run("sagestream.consent(true)")
    wait_until(lambda: len(answers.at("/recommendations/")) == 2)
    visitor = answers.at("/recommendations/")[1]["user_id"]
    browser.open(address)  # the answer is kept
    wait_until(lambda: len(answers.at("/recommendations/")) == 3)
    assert answers.at("/recommendations/")[2]["user_id"] == visitor
    browser.run("sagestream.view('sku-2')")
    wait_until(answers.events)
    assert [event["item_id"] for event in answers.events()] == ["sku-2"]  # what was done before is not told afterwards

    browser.run("sagestream.view('sku-3'); sagestream.consent(false)")
    assert browser.value(STORED) == NOTHING
    browser.open(address)
    wait_until(lambda: len(answers.at("/recommendations/")) == 5)
    assert "user_id" not in answers.at("/recommendations/")[4]
    assert [event["item_id"] for event in answers.events()] == ["sku-2"]


def test_a_login_merges_the_visitor_and_a_logout_begins_another(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    look = '<template><b data-field="title"></b><button data-action="cart">Take it</button></template></div>'
    browser.open(shop.page("/", SLOT.replace("</div>", look), consent="yes"))
    wait_until(lambda: browser.value(DRAWN) == 4)
    anonymous = wait_until(lambda: browser.value("sagestream.visitor()"))
    browser.run("sagestream.view('sku-1'); sagestream.login('ann', 'proof'); sagestream.view('sku-2')")
    browser.click("[data-action=cart]")  # of a list that was drawn before
    wait_until(lambda: len(answers.events()) == 3)
    wait_until(lambda: any("anonymous_id" in body for body in answers.at("/track/")))  # all are sent at once
    (login,) = (body for body in answers.at("/track/") if "anonymous_id" in body)
    assert login == {"user_id": "ann", "token": "proof", "anonymous_id": anonymous}
    told = [(event["user_id"], event["item_id"], event.get("request_id")) for event in answers.events()]
    of_the_list = f"home.{anonymous}"
    assert sorted(told, key=str) == [
        ("ann", "sku-2", None),
        (anonymous, "sku 1", of_the_list),
        (anonymous, "sku-1", None),
    ]
    tokens = {body["user_id"]: body.get("token") for body in answers.at("/track/")}
    assert tokens == {"ann": "proof", anonymous: None}
    assert "proof" not in browser.value("JSON.stringify(localStorage)")  # each page brings it
    browser.run("sagestream.login('ann', 'proof'); sagestream.refresh()")  # on each page: it is told once
    wait_until(lambda: answers.at("/recommendations/")[-1].get("user_id") == "ann")
    assert sum("anonymous_id" in body for body in answers.at("/track/")) == 1
    browser.run("sagestream.logout()")
    assert browser.value("sagestream.visitor()") not in ("ann", anonymous, "")


def test_what_the_server_cannot_take_is_told_again_with_the_same_id(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    answers.status = 503
    browser.open(shop.page("/", "", consent="yes"))
    browser.run("sagestream.cart('sku-1')")
    wait_until(answers.events)
    answers.status = 202
    wait_until(lambda: len(answers.events()) == 2)
    first, second = answers.events()
    assert first == second


def test_data_layers_of_others_are_understood(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    browser.open(shop.page("/", "", consent="yes"))
    browser.run(
        """
        window.dataLayer = [{event: "view_item", ecommerce: {items: [{item_id: "a"}]}}];
        sagestream.dataLayer();
        window.gtag = function () { dataLayer.push(arguments); };
        gtag("event", "add_to_cart", {items: [{item_id: "b", price: 2}]});
        gtag("config", "G-1");
        gtag("event", "scroll", {});
        dataLayer.push({ecommerce: null}, {event: "purchase", ecommerce: {items: 7}});
        dataLayer.push({event: "purchase", ecommerce: {transaction_id: "t1", currency: "EUR",
            items: [{item_id: "b", price: "2.5", quantity: 3}]}});
        const heard = {};
        sagestream.segment({on: (name, then) => { heard[name] = then; }});
        heard.track("Product Clicked", {product_id: "c"});
        heard.track("Order Completed", {order_id: "s1", products: [{product_id: "c", price: 4, quantity: 1}]});
        heard.track("Signed Up", {plan: "free"});
        """
    )
    wait_until(lambda: len(answers.events()) == 5)
    told = {
        (event["event_type"], event["item_id"], event.get("order_id"), event.get("value"), event.get("quantity"))
        for event in answers.events()
    }
    assert told == {
        ("view", "a", None, None, None),
        ("cart", "b", None, None, None),
        ("purchase", "b", "t1", 2.5, 3),
        ("click", "c", None, None, None),
        ("purchase", "c", "s1", 4, 1),
    }
    assert browser.value("dataLayer.length") == 7  # the shop's own analytics has everything
    (complaint,) = browser.complaints  # of the entry that is wrong, and of nothing else
    assert "map is not a function" in complaint


def test_a_shop_gives_its_own_look_and_asks_for_a_slot_when_it_likes(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    look = """<template><h3 data-field="title"></h3><em data-field="categories"></em>
        <button type="button" data-action="cart">Take it</button></template>"""
    browser.open(shop.page("/", f'<div id="a">{look}</div><div data-sagestream-slot="empty"></div>', consent="yes"))
    browser.run(
        "window.taken = []; addEventListener('sagestream:cart', ({ detail }) => taken.push(detail.item_id));"
        "sagestream.slot('cart', document.querySelector('#a'), {k: 2, cart: ['x'], criteria: {brands: ['Toy']}})"
    )
    wait_until(lambda: browser.value(DRAWN) == 4)
    asked = answers.at("/recommendations/")[-1]
    assert asked["cart"] == ["x"]
    assert asked["slots"] == [{"slot": "cart", "k": 2, "criteria": {"brands": ["Toy"]}}]
    assert browser.text("#a li em") == "Food · Fresh"
    browser.click("#a li:nth-child(4) button")
    wait_until(answers.events)
    (event,) = answers.events()
    assert (event["event_type"], event["item_id"], event["position"]) == ("cart", "sku-4", 3)
    assert browser.value("window.taken[0]") == "sku-4"
    assert browser.value("document.querySelector('[data-sagestream-slot=empty]').hidden") is True


def test_many_events_go_in_groups_and_each_has_its_own_id(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    browser.open(shop.page("/", "", consent="yes"))
    browser.run("for (let n = 0; n < 120; n++) sagestream.view(n)")
    wait_until(lambda: len(answers.events()) == 120)
    assert len({event["event_id"] for event in answers.events()}) == 120
    assert sorted(len(body["events"]) for body in answers.at("/track/")) == [20, 50, 50]


def test_a_link_of_a_mail_is_one_click_however_often_it_is_opened(page: tuple[Browser, Shop, Answers]) -> None:
    browser, shop, answers = page
    (code,) = [block.text for block in prose("docs/shop-developers.md").blocks if block.language == "js"]
    link = linker(f"{shop.origin}/p/{{item_id}}")(Landing("u 42", "sku-9", "r.1", 3))
    shop.page(link.removeprefix(shop.origin), "", consent="yes")
    for times in (1, 2):
        browser.open(link)
        browser.run(code)
        wait_until(lambda times=times: len(answers.events()) == times)  # type: ignore[misc]
    first, second = answers.events()
    assert first == second
    assert first == {
        "user_id": "u 42", "event_id": "r.1:3", "event_type": "click", "item_id": "sku-9", "request_id": "r.1",
        "position": 3,
    }  # fmt: skip
    assert browser.value("sagestream.visitor()").startswith("anon-")  # who opened it is not taken for the shopper
    assert browser.complaints == []
