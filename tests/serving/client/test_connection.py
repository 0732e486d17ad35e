"""Both clients against the real web server: the same calls, the same answers, the same errors."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from django.test import Client
from redis import Redis

from graphstore.redis import errands, hot
from serving.client import (
    AsyncSagestream,
    BadRequest,
    Criteria,
    Did,
    Event,
    Item,
    ItemChange,
    KeyRefused,
    Login,
    NotFound,
    Refused,
    Retry,
    Sagestream,
    SagestreamError,
    ServerError,
    Slot,
    Stock,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
    Visit,
)
from serving.client.call import Call
from serving.client.doors import Door, Doors
from serving.web import lists_body
from stream import events
from stream.events import EventType
from tests.serving.client.conftest import CHIEF
from tests.serving.web.conftest import KEY
from tests.serving.web.test_views import Post

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
VISIT = Visit(session=["bread"], cart=["cheese"])
TEA = Item(item_id="a/b", title="Tea", price=2.5, event_time=NOW)
EVENT = Event(event_id="e1", event_type=EventType.CLICK, user_id="ann", item_id="apple", event_time=NOW)
PLAIN_EVENT = {"event_id": "1", "event_type": "view", "item_id": "apple"}
SEGMENT = {
    "type": "track",
    "event": "Product Viewed",
    "userId": "u1",
    "messageId": "m",
    "properties": {"product_id": "x"},
}

CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "list": ("recommendations", ("ann",), {"slot": "home", "k": 3, "explain": True, "confirmed": False}),
    "visit": ("recommendations", ("bo",), {"visit": VISIT, "criteria": Criteria(categories=["food"], price_max=9.5)}),
    "lists": ("lists", ("home", Slot(slot="cart", k=1)), {"user_id": "ann", "visit": VISIT, "category": "food"}),
    "session": ("lists", ("home",), {"visit": Visit(session=[Did(item_id="apple", event_type=EventType.CART)])}),
    "similar": ("similar", ("apple",), {"k": 2, "user_id": "ann", "cart": ["bread"]}),
    "together": ("bought_together", ("apple",), {"k": 2}),
    "trending": ("trending", (), {"window": "24h", "criteria": Criteria(categories=["food"])}),
    "best": ("best_sellers", (), {"k": 3, "slot": "best_sellers"}),
    "categories": ("categories", (), {}),
    "category": ("category_items", ("food",), {"user_id": "ann", "k": 2}),
    "events": ("events", ([EVENT],), {}),
    "messages": ("messages", ("segment", [SEGMENT]), {}),
    "item": ("item", ("apple",), {}),
    "put_items": ("put_items", ([TEA, Item(item_id="", event_time=NOW)],), {}),
    "change_items": ("change_items", ([ItemChange(item_id="a/b", price=None, event_time=NOW)],), {}),
    "delete_items": ("delete_items", (["a/b", "c"],), {}),
    "put_item": ("put_item", (TEA,), {}),
    "change_item": ("change_item", (ItemChange(item_id="a/b", attributes={"x": None}, event_time=NOW),), {}),
    "delete_item": ("delete_item", ("a/b",), {}),
    "stock": ("stock", ([Stock(item_id="a/b", stock=3, event_time=NOW), Stock(item_id="c", stock=None)],), {}),
    "user": ("user", ("ann",), {}),
    "put_user": ("put_user", ("ann", {"city": "Köln", "vip": True}), {"event_time": NOW}),
    "identities": ("identities", ([Login(anonymous_id="s1", user_id="ann", event_time=NOW)],), {}),
}
"""Calls with the key of writers, which succeed."""


def told(value: Any) -> Any:
    """A value without what differs from call to call: ids that are made anew, and times."""
    plain = msgspec.to_builtins(value)

    def same(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: same(one) for name, one in part.items() if name not in ("request_id", "token", "as_of")}
        return [same(one) for one in part] if isinstance(part, list) else part

    return same(plain)


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_send_the_same_and_answer_the_same(shop: Sagestream, url: str, post: Post, name: str) -> None:
    method, args, options = CALLS[name]
    blocking = getattr(shop, method)(*args, **options)
    sent, post.letters = post.letters, []

    async def awaited() -> Any:
        async with AsyncSagestream(url, KEY) as client:
            return await getattr(client, method)(*args, **options)

    assert told(asyncio.run(awaited())) == told(blocking)
    assert [(one.topic, one.key) for one in post.letters] == [(one.topic, one.key) for one in sent]


def test_every_call_of_the_table_is_tried() -> None:
    doors = {name for name, door in vars(Doors).items() if isinstance(door, Door)}
    of_operator = {"ask_export", "export", "forget", "erasure", "retrain"}
    assert doors == {method for method, _, _ in CALLS.values()} | of_operator | {
        "seen",
        "track",
        "token",
        "description",
    }


def test_a_list_has_what_the_server_says(shop: Sagestream, post: Post) -> None:
    answer = shop.recommendations("ann", slot="home", k=2, explain=True)
    assert [item.item_id for item in answer.items] == ["elder", "apple"]
    assert (answer.user_id, answer.slot, answer.model_version, answer.source) == ("ann", "home", "m1", "batch")
    assert answer.items[0].title == "Elder" and answer.items[0].evidence is not None
    (letter,) = post.letters
    assert letter.event.request_id == answer.request_id and letter.event.confirmed and not letter.event.robot
    shop.recommendations("ann", slot="home", user_agent="Googlebot/2.1")
    assert post.letters[1].event.robot
    assert shop.seen(answer.request_id, "ann", [0, 1]) == 2
    assert post.letters[2].event.positions == [0, 1]


def test_criteria_cart_and_several_lists_reach_the_server(shop: Sagestream) -> None:
    without = shop.recommendations("ann", criteria=Criteria(without_items=["elder"]), visit=Visit(cart=["apple"]))
    assert [item.item_id for item in without.items] == ["bread", "cheese", "dates"]
    lists = shop.lists("home", Slot(slot="search", k=2, criteria=Criteria(brands=["Toy"])), user_id="ann")
    assert set(lists) == {"home", "search"} and len(lists["search"].items) <= 2
    shown = [item.item_id for one in lists.values() for item in one.items]
    assert len(shown) == len(set(shown))
    assert shop.lists("home", visit=Visit(session=["apple"]))["home"].user_id == ""


def test_the_criteria_are_those_of_the_server() -> None:
    """In a body they are decoded by the server's own struct, which refuses a field that it does not know."""
    whole = Criteria(
        categories=["a"], brands=["b"], price_min=1, price_max=2, attributes={"c": ["d"]},
        without_items=["e"], without_categories=["f"], without_brands=["g"],
    )  # fmt: skip
    body = msgspec.json.encode({"slots": ["home"], "criteria": whole, "session": [Did(item_id="x", event_time=NOW)]})
    read = lists_body.read_body(body)
    assert msgspec.json.decode(msgspec.json.encode(read.criteria)) == msgspec.json.decode(msgspec.json.encode(whole))


def test_what_is_told_has_its_id_and_time_from_the_start(shop: Sagestream, post: Post) -> None:
    shop.put_item(TEA)
    assert post.letters.pop().event == msgspec.convert(msgspec.to_builtins(TEA), events.CatalogItem)
    view = Event(event_type=EventType.VIEW, user_id="ann", item_id="apple")
    assert shop.events([view, view]).accepted == 2
    assert {letter.event.event_id for letter in post.letters} == {view.event_id}  # counts once
    assert {letter.event.event_time for letter in post.letters} == {view.event_time}
    assert Event(event_type=EventType.VIEW, user_id="ann", item_id="apple").event_id != view.event_id


def test_a_refused_part_is_told_beside_the_good_ones(shop: Sagestream, post: Post) -> None:
    taken = shop.put_items([TEA, Item(item_id="x", price=-1.0)])
    assert (taken.accepted, [(part.index, part.field) for part in taken.refused]) == (1, [(1, "price")])
    with pytest.raises(BadRequest) as refused:
        shop.put_items([Item(item_id="x", price=-1.0)])
    assert (refused.value.field, refused.value.refused[0].index) == ("price", 0)
    assert ">= 0" in str(refused.value)


def test_the_operator_exports_and_forgets(operator: Sagestream, redis: Redis) -> None:
    errand = operator.ask_export("ann")
    assert errand.state == "waiting"
    waiting = operator.export("ann", errand.receipt)
    assert not isinstance(waiting, dict) and waiting.receipt == errand.receipt
    raw = errands.first(redis)
    assert raw is not None
    errands.tell(redis, errands.decode(raw), errands.DONE, "made", now=1, result=b'{"interactions": []}')
    assert operator.export("ann", errand.receipt) == {"interactions": []}
    gone = operator.forget("bo")
    assert operator.erasure(gone.receipt).state == "waiting"
    with pytest.raises(NotFound, match="no such receipt"):
        operator.erasure("nothing")
    assert operator.retrain(why="the new season").why == "the new season"


def test_a_page_of_a_shopper_tells_with_a_token(shop: Sagestream, url: str, post: Post) -> None:
    token = shop.token("ann")
    with Sagestream(url) as app:  # without a key
        assert app.track("ann", [PLAIN_EVENT], token=token.token).accepted == 1
        with pytest.raises(BadRequest) as refused:
            app.track("ann", [PLAIN_EVENT])
        assert refused.value.field == "token"
        assert app.description()["openapi"].startswith("3.")


def test_what_the_readers_know(shop: Sagestream, redis: Redis) -> None:
    hot.record(redis, [("zoe", "apple", 1_700_000_000_000)], keep=5)
    (recent,) = shop.user("zoe").recent
    assert (recent.item_id, recent.event_time.year) == ("apple", 2023)
    assert shop.item("apple").price == 1.5


@pytest.mark.parametrize(
    ("ask", "kind", "said"),
    [
        (lambda shop: shop.recommendations("ann", k=0), BadRequest, "k"),
        (lambda shop: shop.recommendations("ann", slot="roof"), BadRequest, "slot"),
        (lambda shop: shop.recommendations("x" * 129), BadRequest, "user_id"),
        (lambda shop: shop.lists("home", visit=Visit(cart=["x" * 129])), BadRequest, "cart"),
        (lambda shop: shop.similar("nothing"), NotFound, None),
        (lambda shop: shop.item("no/thing"), NotFound, None),
        (lambda shop: shop.forget("ann"), KeyRefused, None),
        (lambda shop: shop.send(Call("GET", "/nothing", bytes)), NotFound, None),
        (lambda shop: shop.send(Call("PATCH", "/trending/", bytes)), Refused, None),
        (lambda shop: shop.send(Call("GET", "/healthz", msgspec.json.Decoder(int).decode)), UnexpectedAnswer, None),
    ],
)
def test_each_error_has_a_class_and_names_its_field(
    shop: Sagestream, ask: Callable[[Sagestream], Any], kind: type[SagestreamError], said: str | None
) -> None:
    with pytest.raises(kind) as error:
        ask(shop)
    assert type(error.value) is kind
    assert getattr(error.value, "field", None) == said
    assert error.value.detail


@pytest.mark.parametrize("item_id", ["a/b", "ü\n", "a b+c%2F", "a?b=c#d", "{x}", "...", "\\", "😀"])
def test_any_id_reaches_the_server_as_it_is(shop: Sagestream, post: Post, item_id: str) -> None:
    shop.put_item(Item(item_id=item_id))
    assert shop.recommendations(item_id, visit=Visit(cart=[item_id])).user_id == item_id
    assert post.letters[0].event.item_id == item_id


def test_an_id_that_no_path_can_hold_is_refused_at_once(shop: Sagestream) -> None:
    for item_id in ("", ".", ".."):
        with pytest.raises(ValueError, match="cannot stand in a path"):
            shop.similar(item_id)


def test_an_unknown_option_is_an_error_at_once(shop: Sagestream) -> None:
    with pytest.raises(TypeError, match="slots"):
        shop.recommendations("ann", slots="home")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="window"):
        shop.similar("apple", window="1h")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="types and times"):
        shop.recommendations("ann", visit=Visit(session=[Did(item_id="apple")]))
    with pytest.raises(ValueError, match="http"):
        Sagestream("shop.example")


class Answers:
    """A server's side of a connection: what each request is answered with, in turn."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def blocking(self, retry: Retry | None = None) -> Sagestream:
        made = Sagestream("http://shop", KEY, retry=retry, transport=httpx.MockTransport(self))
        made.sleep, made.draw = self.slept.append, lambda: 0.5
        return made

    def awaited(self, retry: Retry | None = None) -> AsyncSagestream:
        made = AsyncSagestream("http://shop", KEY, retry=retry, transport=httpx.MockTransport(self))

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        made.sleep, made.draw = sleep, lambda: 0.5
        return made


def away(wait: str | None = "2") -> httpx.Response:
    return httpx.Response(503, json={"detail": "no broker"}, headers={} if wait is None else {"Retry-After": wait})


def good() -> httpx.Response:
    return httpx.Response(202, json={"accepted": 1, "refused": []})


def test_a_call_that_is_safe_is_tried_again_when_the_server_says() -> None:
    answers = Answers(away("2"), httpx.ReadTimeout("slow"), good())
    assert answers.blocking().events([EVENT]).accepted == 1
    assert answers.slept == [2.05, 0.1]
    assert len({request.content for request in answers.requests}) == 1  # the same id: it counts once
    answers = Answers(away("2"), httpx.ReadTimeout("slow"), good())
    assert asyncio.run(_tell(answers.awaited())).accepted == 1
    assert answers.slept == [2.05, 0.1]


async def _tell(client: AsyncSagestream) -> Any:
    return await client.events([EVENT])


def test_a_list_that_counts_as_shown_is_asked_for_again_only_when_nothing_was_logged() -> None:
    answers = Answers(httpx.ReadTimeout("slow"))
    with pytest.raises(Unavailable, match="ReadTimeout"):
        answers.blocking().recommendations("ann", slot="home")
    for options in ({}, {"slot": "home", "confirmed": False}):
        answers = Answers(httpx.ReadTimeout("slow"), httpx.Response(200, json={"request_id": "r", "items": []}))
        assert answers.blocking().recommendations("ann", **options).request_id == "r"  # type: ignore[arg-type]
    answers = Answers(httpx.ConnectError("refused"), away(), httpx.Response(200, json={"request_id": "r", "items": []}))
    assert answers.blocking().recommendations("ann", slot="home").request_id == "r"


def test_nobody_waits_longer_than_the_patience_says() -> None:
    answers = Answers(away("30"))
    with pytest.raises(Unavailable, match="no broker") as error:
        answers.blocking(Retry(patience_seconds=10)).events([EVENT])
    assert (error.value.retry_after, error.value.status, answers.slept) == (30.0, 503, [])
    answers = Answers(*[away(None)] * 4)
    with pytest.raises(Unavailable):
        answers.blocking(Retry(tries=4)).events([EVENT])
    assert answers.slept == [0.05, 0.1, 0.2]


@pytest.mark.parametrize(
    ("status", "kind"), [(429, TooManyRequests), (500, ServerError), (504, Unavailable), (302, UnexpectedAnswer)]
)
def test_a_page_of_a_proxy_is_an_error_with_its_words(status: int, kind: type[SagestreamError]) -> None:
    answers = Answers(httpx.Response(status, text="<h1>Oh</h1>"))
    with pytest.raises(kind):
        answers.blocking(Retry(tries=1)).categories()


def test_an_answer_that_cannot_be_unpacked_is_no_answer() -> None:
    answers = Answers(httpx.DecodingError("bad gzip"))
    with pytest.raises(UnexpectedAnswer, match="bad gzip"):
        answers.blocking().categories()


def test_the_key_is_shown_and_the_program_named() -> None:
    answers = Answers(httpx.Response(200, json={"categories": []}))
    assert answers.blocking().categories() == []
    (request,) = answers.requests
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["User-Agent"].startswith("python")  # without a key: no browser


def test_nobody_listens(web: Client) -> None:
    with Sagestream("http://127.0.0.1:9", retry=Retry(tries=1)) as shop, pytest.raises(Unavailable) as error:
        shop.categories()
    assert error.value.untouched and error.value.status is None


def test_the_client_brings_neither_django_nor_numpy_nor_a_store() -> None:
    heavy = "('django', 'numpy', 'torch', 'sqlalchemy', 'redis', 'pydantic', 'kafka', 'graphstore')"
    program = f"import sys, serving.client; print([one for one in {heavy} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_operators_key_does_not_write(operator: Sagestream) -> None:
    assert CHIEF != KEY
    with pytest.raises(KeyRefused):
        operator.events([EVENT])
