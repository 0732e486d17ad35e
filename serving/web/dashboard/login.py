"""Login: exchanges the operator's key, or the link of a playground, for the cookie of a session; and ends it.

Arrives: a form. Leaves: the cookie and the way back, or the form with what was wrong. Next: `pages`.

The token of a link stands behind the # of the address, which no browser sends: no log and no Referer has it. The page's
script takes it out of the address at once and posts it.
"""

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import rotate_token
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from serving.web import services
from serving.web.answers import RETRY_AFTER_SECONDS
from serving.web.dashboard import access
from serving.web.dashboard.refusals import ROOT
from serving.web.dashboard.tokens import LINK_SECONDS, SESSION_SECONDS
from serving.web.limits import TokenBuckets, client_group

ATTEMPTS_PER_SECOND = 0.2
ATTEMPTS_AT_ONCE = 10
"""One address may try so often at once, then every five seconds. A long random key needs no more than that."""

attempts = TokenBuckets(ATTEMPTS_PER_SECOND, burst_seconds=ATTEMPTS_AT_ONCE / ATTEMPTS_PER_SECOND)


@access.door
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Show the form, or check the key: 303 to the page that was asked for, 403 for a wrong key, 429 for many."""
    if request.method != "POST":
        return _form(request, request.GET.get("next", ""))
    target = request.POST.get("next", "")
    if not attempts.take(client_group(request.META["REMOTE_ADDR"])):
        return _form(request, target, "Too many attempts from your address: wait a few seconds.", status=429)
    if not access.is_key(request.POST.get("key", "")):
        return _form(request, target, "This is not the operator’s key.", status=403)
    rotate_token(request)
    return access.let_in(request, target)


@access.door
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest) -> HttpResponse:
    """Exchange the token of a link, once. Without it, the page's script takes the token from the address."""
    if request.method != "POST":
        return render(request, "dashboard/enter.html")
    if not attempts.take(client_group(request.META["REMOTE_ADDR"])):
        return _form(request, "", "Too many attempts from your address: wait a few seconds.", status=429)
    nonce = access.link_nonce(request.POST.get("token", ""))
    if nonce is None or not access.use_up(services.storefront().redis, nonce, LINK_SECONDS):
        return _form(request, "", "This link was used before, or it is too old. Log in with the key.", status=403)
    rotate_token(request)
    return access.let_in(request, ROOT)


@access.door
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session, also for whoever copied its cookie."""
    nonce = access.session_of(request)
    if nonce is not None:
        access.use_up(services.storefront().redis, nonce, SESSION_SECONDS)
    response = HttpResponseRedirect(access.LOGIN, status=303)
    response.delete_cookie(access.COOKIE, path=ROOT, samesite="Strict")
    return response


def _form(request: HttpRequest, target: str, problem: str = "", *, status: int = 200) -> HttpResponse:
    context = {"problem": problem, "next": access.safe_target(target) if target else ""}
    response = render(request, "dashboard/login.html", context, status=status)
    if status == 429:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response
