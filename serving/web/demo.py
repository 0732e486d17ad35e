"""Demo: serves the page `/demo/`, a page of some other shop with the tag in it.

Arrives: a visitor. Leaves: a page whose tag comes from another origin, with the strict Content-Security-Policy that
such a shop may have. What the tag keeps and sends is shown on the page. Next: `serving.web.tag`.

This machine has two names, so it has two origins: a page of `localhost` takes the tag from `127.0.0.1`, and the other
way round, where `SAGESTREAM_CORS_ORIGINS` shares the API with the page's origin. The playground sets it. Elsewhere page
and tag have one origin. The page is for trials: it is turned on with the shop page.
"""

from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from graphstore.redis import item_store
from serving.cache import champion
from serving.web import services, signing
from serving.web.shop import known_shoppers, only_where_open

OTHER_NAMES = {"localhost": "127.0.0.1", "127.0.0.1": "localhost"}
MAX_ITEM = 128


@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Return the page of one item (`item`), or the home page of the other shop."""
    only_where_open()
    api, item_id = api_origin(request), request.GET.get("item", "")[:MAX_ITEM]
    try:
        redis = services.storefront().redis
        version = champion(redis)
        shoppers = known_shoppers(redis, version) if version else []
        item = item_store.get_items(redis, [item_id])[0] if item_id else None
    except RedisError:
        shoppers, item = [], None  # the tag says what is away
    # As the shop's own server would do for somebody who has logged in.
    shopper = shoppers[0] if shoppers else "ann"
    token = signing.shopper_token(shopper, key=signing.key_for(signing.SHOPPERS), now=datetime.now(UTC))
    policy = policy_for(api)
    context = {"api": api, "item": item, "shopper": shopper, "token": token, "policy": policy}
    response = render(request, "demo.html", context)
    response.headers["Content-Security-Policy"] = policy
    response.headers["Cache-Control"] = "no-store"
    return response


def api_origin(request: HttpRequest) -> str:
    """Return the origin of the tag: another one than the page's where it may be."""
    own = f"{request.scheme}://{request.get_host()}"
    name, _, port = request.get_host().partition(":")
    shared = settings.SERVING.shared_with
    other = OTHER_NAMES.get(name)
    if other is None or other not in settings.ALLOWED_HOSTS or not (own in shared or "*" in shared):
        return own
    return f"{request.scheme}://{other}:{port}" if port else f"{request.scheme}://{other}"


def policy_for(api: str) -> str:
    """Return the policy of a strict shop: its own files, and the tag's origin for its script and its messages."""
    return (
        f"default-src 'none'; script-src 'self' {api}/tag.js; connect-src {api}; style-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
