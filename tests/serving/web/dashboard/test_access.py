"""Who may look: the key, the link, the cookie, the end of a session; every form is protected."""

import re
import time

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import get_resolver
from pydantic import SecretStr
from redis import Redis

from graphstore.config import GraphstoreConfig
from serving.config import ServingConfig
from serving.web import services
from serving.web.dashboard import access, login, urls
from serving.web.dashboard.tokens import LINK_SECONDS, SESSION_SECONDS, new_token, signing_key
from serving.web.limits import TokenBuckets
from tests.serving.web.dashboard.conftest import ADMIN_KEY, form_token, log_in

DOORS = {"dashboard-login", "dashboard-enter", "dashboard-logout"}
ARGUMENTS = {"name": "traffic", "number": "0", "errand_id": "e1", "path": "nothing/here"}


def paths() -> dict[str, str]:
    """An address of each view of the dashboard, by its name."""
    found = {}
    for pattern in urls.urlpatterns:
        route = get_resolver().reverse_dict.getlist(pattern.name)[0][0][0][0]
        found[str(pattern.name)] = "/" + route % ARGUMENTS
    return found


def token_of_link(*, now: int | None = None, seconds: int = LINK_SECONDS) -> str:
    return new_token(signing_key(ADMIN_KEY), "link", now=now or int(time.time() * 1000), seconds=seconds)


def test_the_first_of_several_keys_signs(settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(admin_key=SecretStr("first, second"), admin_keys=SecretStr("third"))
    made = new_token(signing_key("first"), "link", now=int(time.time() * 1000), seconds=LINK_SECONDS)
    assert access.link_nonce(made)


def test_without_an_operators_key_every_page_says_what_to_set(web: Client) -> None:
    assert len(paths()) >= 14
    for path in paths().values():
        for answer in (web.get(path), web.post(path)):
            assert answer.status_code == 403, path
            assert "SAGESTREAM_ADMIN_KEY" in answer.content.decode()


def test_a_stranger_sees_nothing_and_is_led_to_the_login(stranger: Client) -> None:
    for name, path in paths().items():
        if name in DOORS:
            continue
        answer = stranger.get(path)
        assert answer.status_code == 303, path
        assert answer["Location"].startswith("/dashboard/login/")
        assert answer["Cache-Control"] == "no-store"
    assert stranger.get("/dashboard/traffic/")["Location"] == "/dashboard/login/?next=%2Fdashboard%2Ftraffic%2F"
    part = stranger.get("/dashboard/traffic/", headers={"HX-Request": "true"})
    assert (part.status_code, part["HX-Redirect"], part.content) == (401, "/dashboard/login/", b"")


def test_every_post_needs_the_token_of_its_form(operator: Client) -> None:
    for path in paths().values():
        answer = operator.post(path, {"key": ADMIN_KEY, "errand": "forget", "subject": "ann", "sure": "yes"})
        assert answer.status_code == 403, path
        assert "comes from elsewhere" in answer.content.decode()


def test_the_key_opens_and_the_cookie_is_kept_from_scripts_and_other_sites(stranger: Client) -> None:
    answer = log_in(stranger, target="/dashboard/errands/?a=1")
    assert (answer.status_code, answer["Location"]) == (303, "/dashboard/errands/?a=1")
    cookie = answer.cookies[access.COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/dashboard/")
    assert cookie["max-age"] == SESSION_SECONDS
    assert not cookie["secure"]
    assert stranger.get("/dashboard/errands/").status_code == 200


def test_behind_tls_the_cookie_is_secure(stranger: Client) -> None:
    token = form_token(stranger, "/dashboard/login/")
    answer = stranger.post(
        "/dashboard/login/",
        {"key": ADMIN_KEY, "csrfmiddlewaretoken": token},
        secure=True,
        headers={"Origin": "https://testserver"},
    )
    assert answer.status_code == 303
    assert answer.cookies[access.COOKIE]["secure"]


@pytest.mark.parametrize("key", ["", "only for the operato", ADMIN_KEY + " ", "ключ", "x" * 5000])
def test_a_wrong_key_opens_nothing(stranger: Client, key: str) -> None:
    answer = log_in(stranger, key=key)
    assert answer.status_code == 403
    assert access.COOKIE not in answer.cookies
    assert "not the operator" in answer.content.decode()


@pytest.mark.parametrize(
    "target",
    ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere", "/dashboard//x", "/dashboard/\r\nX: 1",
     "/", "javascript:1", "/dashboard/login/?next=/dashboard/login/"],
)  # fmt: skip
def test_the_way_back_stays_on_the_dashboard(stranger: Client, target: str) -> None:
    assert log_in(stranger, target=target)["Location"] == "/dashboard/"


def test_attempts_are_bounded_for_each_address(stranger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "attempts", TokenBuckets(0.001, burst_seconds=3_000.0))
    answers = [log_in(stranger, key="wrong").status_code for _ in range(4)]
    assert answers == [403, 403, 403, 429]
    late = log_in(stranger)
    assert late.status_code == 429  # the right key, too: else whoever guesses would go on
    assert late["Retry-After"]
    token = form_token(stranger, "/dashboard/enter/")
    guess = stranger.post("/dashboard/enter/", {"token": "x", "csrfmiddlewaretoken": token})
    assert guess.status_code == 429


def test_a_logout_ends_the_session_for_its_copies_too(operator: Client) -> None:
    copied = operator.cookies[access.COOKIE].value
    token = form_token(operator, "/dashboard/errands/")
    assert operator.get("/dashboard/logout/").status_code == 405
    assert operator.post("/dashboard/logout/", {"csrfmiddlewaretoken": token})["Location"] == "/dashboard/login/"
    operator.cookies[access.COOKIE] = copied
    assert operator.get("/dashboard/errands/").status_code == 303


def test_another_key_ends_all_sessions(operator: Client, settings: LazySettings) -> None:
    settings.SERVING = ServingConfig(admin_key=SecretStr("a new one"))
    assert operator.get("/dashboard/errands/").status_code == 303


def test_an_old_cookie_opens_nothing(stranger: Client) -> None:
    then = int(time.time() * 1000) - SESSION_SECONDS * 1000
    stranger.cookies[access.COOKIE] = new_token(signing_key(ADMIN_KEY), "session", now=then, seconds=SESSION_SECONDS)
    assert stranger.get("/dashboard/errands/").status_code == 303
    stranger.cookies[access.COOKIE] = token_of_link()  # a link is no cookie
    assert stranger.get("/dashboard/errands/").status_code == 303


def test_a_link_opens_once(stranger: Client) -> None:
    form = {"token": token_of_link(), "csrfmiddlewaretoken": form_token(stranger, "/dashboard/enter/")}
    answer = stranger.post("/dashboard/enter/", form)
    assert (answer.status_code, answer["Location"]) == (303, "/dashboard/")
    assert stranger.get("/dashboard/errands/").status_code == 200
    other = Client(enforce_csrf_checks=True)
    form["csrfmiddlewaretoken"] = form_token(other, "/dashboard/enter/")
    assert other.post("/dashboard/enter/", form).status_code == 403
    old = {**form, "token": token_of_link(now=int(time.time() * 1000) - 10_000, seconds=5)}
    assert other.post("/dashboard/enter/", old).status_code == 403
    assert other.get("/dashboard/errands/").status_code == 303


def test_nothing_is_loaded_from_elsewhere_and_no_script_or_style_stands_in_a_page(operator: Client) -> None:
    for path in paths().values():
        answer = operator.get(path)
        text = answer.content.decode()
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert "script-src 'self'" in policy and "style-src 'self'" in policy
        assert answer["Cache-Control"] == "no-store"
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text)
        assert "<script>" not in text and "style=" not in text and "<style" not in text
        assert not re.search(r"\son\w+=", text)


def test_a_broken_redis_is_a_clear_503(operator: Client, redis: Redis, settings: LazySettings) -> None:
    services.close()
    settings.GRAPHSTORE = GraphstoreConfig(redis_url="redis://127.0.0.1:1/0")
    for name, path in paths().items():
        if name in DOORS:
            continue
        answer = operator.get(path)
        assert answer.status_code == 503, path
        assert "Redis cannot be read" in answer.content.decode()
        assert answer["Retry-After"]
    assert operator.get("/dashboard/login/").status_code == 200
    link = {"token": token_of_link(), "csrfmiddlewaretoken": form_token(operator, "/dashboard/enter/")}
    assert operator.post("/dashboard/enter/", link).status_code == 503
