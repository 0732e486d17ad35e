"""Access: who may look at the dashboard. Only who showed the operator's key, by a login or by a link of the playground.

Arrives: a request. Leaves: the view's answer, or a page that says what to do: log in, set the key, repair Redis. Next:
the views of this room, each behind `operator_only` or `door`.

The cookie is signed (`tokens`), and no script can read it. Nothing is stored for a session. A logout is: the nonce of
its cookie stays in Redis until the cookie has ended, and so does the nonce of a used link.
"""

import functools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.views.decorators.csrf import csrf_protect
from redis import Redis
from redis.exceptions import RedisError

from serving.web import authentication, services
from serving.web.dashboard import refusals
from serving.web.dashboard.refusals import ROOT, guarded
from serving.web.dashboard.tokens import SESSION_SECONDS, Purpose, new_token, nonce_of, signing_key_of
from stream.events import milliseconds

COOKIE = "sagestream_dashboard"
LOGIN = f"{ROOT}login/"

View = Callable[..., HttpResponse]


def is_open() -> bool:
    """Return whether an operator's key is set."""
    return bool(settings.SERVING.keys_of("admin"))


def is_key(shown: str) -> bool:
    """Return whether this is the operator's key. The time does not tell how much of a wrong key is right."""
    return is_open() and authentication.is_key(settings.SERVING, shown, "admin")


def now_ms() -> int:
    """Return the time of this request in epoch ms."""
    return milliseconds(datetime.now(UTC))


def door(view: View) -> View:
    """Wrap a view that strangers may call: forms need their token, and without an operator's key nothing opens."""
    protected = csrf_protect(view)

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_open():
            return refusals.closed(request)
        try:
            return guarded(protected(request, *args, **kwargs))
        except RedisError:
            return refusals.no_redis(request)
        except Http404:
            return refusals.missing(request)

    return answer


def operator_only(view: View) -> View:
    """Wrap a view that only the operator may call; a stranger is led to the login."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if session_of(request) is None:
            return _to_login(request)
        return view(request, *args, **kwargs)

    return door(answer)


def session_of(request: HttpRequest) -> str | None:
    """Return the nonce of the request's session; None without a valid cookie. Raises `redis.RedisError`."""
    nonce = nonce_of(_key(), "session", request.COOKIES.get(COOKIE, ""), now=now_ms())
    if nonce is None or services.storefront().redis.exists(_used(nonce)):
        return None
    return nonce


def use_up(redis: Redis, nonce: str, seconds: int) -> bool:
    """Mark the nonce as used until its token has ended. Return False when it was used before."""
    return bool(redis.set(_used(nonce), b"1", ex=seconds, nx=True))


def link_nonce(token: str) -> str | None:
    """Return the nonce of a playground's link; None for every other text."""
    return nonce_of(_key(), "link", token, now=now_ms())


def let_in(request: HttpRequest, target: str) -> HttpResponse:
    """Answer with the cookie of a new session, and lead to `target`, which is a page of the dashboard."""
    response = HttpResponseRedirect(safe_target(target), status=303)
    response.set_cookie(
        COOKIE,
        _new("session", SESSION_SECONDS),
        max_age=SESSION_SECONDS,
        path=ROOT,
        secure=request.is_secure(),
        httponly=True,
        samesite="Strict",
    )
    return response


def safe_target(target: str) -> str:
    """Return the path when it is one of the dashboard, else the dashboard's first page."""
    plain = target.startswith(ROOT) and "//" not in target.partition("?")[0] and target.isprintable()
    return target if plain and "\\" not in target and not target.startswith(LOGIN) else ROOT


def _to_login(request: HttpRequest) -> HttpResponse:
    target = request.get_full_path() if request.method == "GET" else ROOT
    url = LOGIN if safe_target(target) == ROOT else f"{LOGIN}?{urlencode({'next': target})}"
    if request.headers.get("HX-Request"):  # htmx would put the login into the middle of the page
        return HttpResponse(status=401, headers={"HX-Redirect": LOGIN})
    return HttpResponseRedirect(url, status=303)


def _key() -> bytes:
    return signing_key_of(settings.SERVING)


def _new(purpose: Purpose, seconds: int) -> str:
    return new_token(_key(), purpose, now=now_ms(), seconds=seconds)


def _used(nonce: str) -> str:
    return f"dash:used:{nonce}"
