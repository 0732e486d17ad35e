"""The front and Django answer one request in the same way: bytes, headers, metrics and impressions."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, quote_from_bytes

import pytest
from asgiref.typing import HTTPScope
from django.conf import LazySettings
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving import cache
from serving.config import OFF, ServingConfig
from serving.routing import ROUTING, Arm, Exploration, Routing, Split, encode
from serving.web import front, list_views, services, signing
from serving.web.bridge import Answer, Environ, WsgiApplication, call, environ_of, with_body
from serving.web.outbox import Letter
from serving.web.wsgi import application, django_application
from tests.serving.toy import MODEL
from tests.serving.web.conftest import KEY

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SLOT = "page"


class Clock(datetime):
    """The time of both paths."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return NOW


@dataclass
class Post:
    """An outbox that keeps what it gets."""

    letters: list[Letter] = field(default_factory=list)

    def offer(self, letter: Letter) -> bool:
        self.letters.append(letter)
        return True

    def close(self) -> None:
        pass


def served_by(**changed: Any) -> ServingConfig:
    """A configuration without a ranker: another program may listen on its usual port."""
    return ServingConfig(ranker_url=OFF, **changed)


@pytest.fixture
def post(web: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Post:
    made = Post()
    monkeypatch.setattr(services, "outbox", lambda: made)
    for module in (front, list_views):
        monkeypatch.setattr(module, "datetime", Clock)
    monkeypatch.setattr(signing.secrets, "token_bytes", lambda size: b"n" * size)
    settings.SERVING = served_by(api_key=SecretStr(KEY), slots=SLOT)
    settings.ALLOWED_HOSTS = ["shop.example"]
    return made


def request(
    path: str,
    query: str = "",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (("host", "shop.example"),),
    client: str = "127.0.0.1",
    scheme: str = "http",
) -> Environ:
    """The environment of a request with this path and query, as they are on the wire."""
    scope: HTTPScope = {
        "type": "http",
        "asgi": {"spec_version": "2.3", "version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": (client, 1234),
        "server": ("127.0.0.1", 8000),
        "state": {},
        "extensions": {},
    }
    return with_body(environ_of(scope), b"")


@dataclass(frozen=True)
class Seen:
    """What one path makes of some requests."""

    answers: list[tuple[int, list[tuple[str, str]], object]]
    letters: list[Letter]
    counted: dict[tuple[str, str], float]


def counted() -> dict[tuple[str, str], float]:
    """Answers so far, by route and status."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for sample in samples
        if sample.name == "sagestream_http_seconds_count"
    }


def seen(path: WsgiApplication, post: Post, environs: Sequence[Environ]) -> Seen:
    services.close()  # with it go the bounds on impressions, of which the other path has taken
    post.letters.clear()
    before = counted()
    answers = [told(call(path, dict(environ))) for environ in environs]
    grown = {key: value - before.get(key, 0.0) for key, value in counted().items() if value != before.get(key)}
    return Seen(answers, list(post.letters), grown)


def told(answer: Answer) -> tuple[int, list[tuple[str, str]], object]:
    assert answer.headers[-1][0] == "X-Request-ID"
    return answer.status, answer.headers[:-1], answer.body


def same(post: Post, *environs: Environ) -> Seen:
    """What both paths make of the requests, held to each other."""
    ours, django = seen(application, post, environs), seen(django_application, post, environs)
    assert ours == django
    return ours


def answered_by_the_front(environ: Environ) -> bool:
    def never(environ: Environ, start_response: Any) -> Iterator[bytes]:
        raise AssertionError

    try:
        front.fronted(never)(environ, lambda *_: None)
    except AssertionError:
        return False
    return True


PATHS = [
    "/recommendations/ann/",
    "/recommendations/nobody/",
    "/recommendations/a/b/",
    "/recommendations/%2F/",
    "/recommendations///",
    "/recommendations/100%25/",
    "/recommendations/%e2%82%ac/",
    "/recommendations/%F0%9F%8D%8E/",
    "/recommendations/a%0Ab/",
    "/recommendations/a%00b/",
    "/recommendations/" + "x" * 200 + "/",
    "/recommendations/a+b/",
]
QUERIES = [
    "",
    "k=2",
    "k=0",
    "k=101",
    "k=%D9%A3",
    "k=2&k=3",
    "k",
    "k=2;slot=page",
    f"slot={SLOT}",
    f"slot={SLOT}&explain=1",
    f"slot={SLOT}&explain=maybe",
    f"slot={SLOT}&confirmed=1",
    f"slot={SLOT}&confirmed=no",
    "slot=",
    "slot=nowhere",
    "slot=%FF",
    "unknown=1",
    "&&=&",
    "explain=TRUE&k=%31",
]


@pytest.mark.parametrize("path", PATHS)
def test_ids_of_all_forms(post: Post, path: str) -> None:
    same(post, *(request(path, query) for query in ("", "k=3", f"slot={SLOT}")))
    assert answered_by_the_front(request(path))


@pytest.mark.parametrize("query", QUERIES)
def test_valid_and_invalid_parameters(post: Post, query: str) -> None:
    key = (("host", "shop.example"), ("x-api-key", KEY))
    same(post, *(request(path, query, headers=key) for path in PATHS[:2]))
    found = same(post, *(request(path, query) for path in PATHS[:2]))
    assert all(status in (200, 400) for status, _, _ in found.answers)
    assert answered_by_the_front(request(PATHS[0], query))


@pytest.mark.parametrize(
    "environ",
    [
        request("/recommendations/ann/", method="HEAD"),
        request("/recommendations/ann/", method="OPTIONS"),
        request("/recommendations/ann/", method="POST"),
        request("/recommendations/ann/", method="DELETE"),
        request("/recommendations/ann"),
        request("/recommendations//"),
        request("/recommendations/"),
        request("/recommendations/%FF/"),
        request("/trending/"),
        request("/healthz"),
        request("/nothing/"),
        request("/recommendations/ann/", headers=[("host", "evil.example")]),
        request("/recommendations/ann/", headers=[("host", "shop.example:x")]),
        request("/recommendations/ann/", headers=[("host", "")]),
        request("/recommendations/ann/", headers=[]),
        request("/recommendations/ann/", "k=%E4", headers=[("content-type", "a/b; charset=latin-1")]),
        request("/recommendations/ann/", "&".join(f"a{n}=1" for n in range(1100))),
    ],
)
def test_what_the_front_passes_on(post: Post, environ: Environ) -> None:
    same(post, environ)
    assert not answered_by_the_front(environ)


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "SHOP.example:8000")],
        [("host", "shop.example"), ("authorization", f"Bearer {KEY}")],
        [("host", "shop.example"), ("authorization", "Bearer wrong")],
        [("host", "shop.example"), ("x-api-key", KEY), ("user-agent", "Mozilla/5.0")],
        [("host", "shop.example"), ("user-agent", "Googlebot"), ("accept", "text/html")],
        [("host", "shop.example"), ("origin", "https://elsewhere.example"), ("cookie", "a=b")],
        [("host", "shop.example"), ("accept-encoding", "gzip"), ("if-none-match", '"x"')],
    ],
)
def test_hosts_keys_and_readers(post: Post, headers: list[tuple[str, str]]) -> None:
    clients = ("127.0.0.1", "203.0.113.7", "2001:db8::1")
    path, query = "/recommendations/ann/", f"slot={SLOT}"
    found = same(post, *(request(path, query, headers=headers, client=client) for client in clients))
    assert len(found.letters) == len(clients)
    assert answered_by_the_front(request(path, query, headers=headers))


@pytest.mark.parametrize("shown", [None, "wrong", "reader", KEY])
def test_keys_of_readers(post: Post, settings: LazySettings, shown: str | None) -> None:
    settings.SERVING = served_by(api_key=SecretStr(KEY), read_keys=SecretStr("reader,older"))
    headers = [("host", "shop.example"), *([("x-api-key", shown)] if shown else [])]
    found = same(post, request("/recommendations/ann/", headers=headers), request("/recommendations/ann/", "k=0"))
    assert found.answers[0][0] == (200 if shown in ("reader", KEY) else 401)


@pytest.mark.parametrize("origin", ["https://pages.example", "https://other.example"])
def test_pages_of_another_origin(post: Post, settings: LazySettings, origin: str) -> None:
    settings.SERVING = served_by(cors_origins="https://pages.example")
    headers = [("host", "shop.example"), ("origin", origin)]
    same(post, *(request("/recommendations/ann/", query, headers=headers) for query in ("", "k=0")))


def test_the_headers_of_a_secure_shop(post: Post, settings: LazySettings) -> None:
    settings.SERVING = served_by(hsts_seconds=60)
    found = same(post, request("/recommendations/ann/", scheme="https"))
    assert ("Strict-Transport-Security", "max-age=60") in found.answers[0][1]


@pytest.mark.parametrize("origins", ["", "*", "https://shop.example", "https://other.example"])
def test_pages_of_other_origins(post: Post, settings: LazySettings, origins: str) -> None:
    settings.SERVING = served_by(cors_origins=origins)
    headers = [("host", "shop.example"), ("origin", "https://shop.example")]
    found = same(post, *(request("/recommendations/ann/", query, headers=headers) for query in ("", "k=0")))
    allowed = "*" if origins == "*" else "https://shop.example"
    shared = ("Access-Control-Allow-Origin", allowed)
    assert (shared in found.answers[0][1]) is (origins in ("*", "https://shop.example"))
    assert answered_by_the_front(request("/recommendations/ann/", headers=headers))


def test_readers_without_a_key_where_one_is_needed(post: Post, settings: LazySettings) -> None:
    settings.SERVING = served_by(read_keys=SecretStr("reader"))
    shown = [("host", "shop.example"), ("x-api-key", "reader")]
    found = same(post, request("/recommendations/ann/"), request("/recommendations/ann/", headers=shown))
    assert [status for status, _, _ in found.answers] == [401, 200]


def test_impressions_of_strangers_are_bounded_alike(post: Post, settings: LazySettings) -> None:
    settings.SERVING = served_by(api_key=SecretStr(KEY), requests_per_second=10, slots=SLOT)
    found = same(post, *[request("/recommendations/ann/", f"slot={SLOT}", client="203.0.113.7")] * 5)
    assert len(found.letters) == 2


def test_answers_are_counted_under_one_route(post: Post) -> None:
    found = same(post, request("/recommendations/ann/"), request("/recommendations/ann/", "k=0"))
    assert found.counted == {("recommendations", "200"): 1.0, ("recommendations", "400"): 1.0}


def test_nothing_is_published(post: Post, redis: Redis) -> None:
    redis.delete(cache.CHAMPION)
    found = same(post, request("/recommendations/ann/", f"slot={SLOT}"))
    assert found.answers[0][0] == 503
    assert dict(found.answers[0][1])["Retry-After"] == "2"


def test_redis_is_away(post: Post, settings: LazySettings) -> None:
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    found = same(post, request("/recommendations/ann/", f"slot={SLOT}"))
    assert (found.answers[0][0], found.letters) == (503, [])


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02" + b"\0" * 8, b"\x01" + b"\0" * 11])
def test_a_malformed_list(post: Post, redis: Redis, raw: bytes) -> None:
    redis.set(cache.recs_key(MODEL, "ann"), raw)
    assert same(post, request("/recommendations/ann/")).answers[0][0] == 200


def test_a_split_with_exploration(post: Post, redis: Redis) -> None:
    arm = Arm("wide", 0.5, None, Exploration(temperature=1.0))
    redis.set(ROUTING, encode(Routing((Split("try", "salt", (arm,), SLOT),), MODEL)))
    found = same(post, *(request(f"/recommendations/u{number}/", f"slot={SLOT}") for number in range(20)))
    assert {letter.event.variant for letter in found.letters} == {"champion", "try/wide"}  # type: ignore[attr-defined]


def test_an_error_of_ours_is_djangos_to_answer_and_to_log(
    post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("serving.web.lists_door.recommendation", broken)
    ours, django = (call(path, request("/recommendations/ann/")) for path in (application, django_application))
    assert ours.status == django.status == 500
    assert ours.body == django.body
    assert len([record for record in caplog.records if record.name == "django.request"]) == 2


names = st.sampled_from(["k", "slot", "explain", "confirmed", "category", "without", "price_min", "x", ""])
values = st.one_of(
    st.sampled_from(["1", "0", "7", "1000", SLOT, "true", "no", "", "-1", "1e3", "½"]), st.text(max_size=6)
)
pairs = st.lists(st.tuples(names, values), max_size=4)
queries = st.one_of(
    pairs.map(lambda found: "&".join(f"{quote(name)}={quote(value)}" for name, value in found)),
    st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="# "), max_size=12),
)
ids = st.one_of(st.sampled_from(["ann", "nobody"]), st.text(min_size=1, max_size=8).map(quote))
broken_ids = st.binary(min_size=1, max_size=5).map(quote_from_bytes)
ends = st.sampled_from(["/", "/", "/", "", "//"])
requests = st.builds(
    lambda user, end, query, method, key: request(
        f"/recommendations/{user}{end}",
        query,
        method=method,
        headers=[("host", "shop.example"), *([("x-api-key", KEY)] if key else [])],
    ),
    st.one_of(ids, ids, broken_ids),
    ends,
    queries,
    st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    st.booleans(),
)


@given(environs=st.lists(requests, min_size=1, max_size=3))
@examples(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_request(post: Post, environs: list[Environ]) -> None:
    same(post, *environs)


def test_a_long_query(post: Post) -> None:
    same(post, request("/recommendations/ann/", "k=2&" + "&".join(itertools.repeat("slot=" + SLOT, 100))))
