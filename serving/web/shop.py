"""Shop: serves the page `/`, a small shop to try the system, and receives the clicks of this page.

Arrives: a visitor who chooses a shopper. Leaves: the page, whose scripts are in `static/shop/`, and events from its
clicks. An event contains the `request_id` and the `position` of the clicked item's list. Next: `serving.web.outbox`.
Lists come from the API, as for every shop; what was truly seen of them the page tells by `/tag.js`.

A visitor may act as any shopper, because the page is only for trials: the setting `shop_page` turns it on. The id of
each event and order from the page begins with `demo:`, so it can be told from a real one for ever, and can never take
the id of a real one.
"""

import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, cast

import msgspec
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST
from redis import Redis
from redis.exceptions import RedisError

from serving.cache import champion, recs_key
from serving.web import intake, services
from serving.web.answers import json_response, unavailable
from serving.web.outbox import NotDelivered, letter_of
from stream.events import MAX_ID_LENGTH, EventType, Id, Interaction, InvalidEvent, Position, Quantity, decoded, encode

SHOPPERS = 12
SHOPPERS_SECONDS = 30.0
SCAN_ROUNDS = 20
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


DEMO_PREFIX = "demo:"


PageId = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_LENGTH - len(DEMO_PREFIX))]
"""An id that gets the prefix."""


class Click(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The message of the page's buttons. The server adds the time.

    `click_id` is the page's own name for the click. A repeated click has the same one, so it counts once. `order_id` is
    its name for the order of a purchase, `value` the price of one piece.
    """

    click_id: PageId | None = None
    event_type: EventType
    user_id: Id
    item_id: Id
    request_id: Id | None = None
    position: Position | None = None
    order_id: PageId | None = None
    value: float | None = None
    quantity: Quantity | None = None


_click = msgspec.json.Decoder(Click)
_shoppers: tuple[float, str, list[str]] = (float("-inf"), "", [])


@require_GET
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Return the page. Its script fetches the lists."""
    only_where_open()
    try:
        version = champion(services.storefront().redis)
        shoppers = known_shoppers(services.storefront().redis, version) if version else []
    except RedisError:
        shoppers = []  # the page shows the error when it fetches its first list
    response = render(request, "shop.html", {"shoppers": shoppers})
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


@require_POST
@csrf_protect
def clicked(request: HttpRequest) -> HttpResponse:
    """Send one click as an event. Answer 202 after Kafka has acknowledged it."""
    only_where_open()
    try:
        event = _event(request.body, now=datetime.now(UTC))
    except InvalidEvent as error:
        return json_response({"detail": str(error), "field": intake.field_of(request.body, error)}, 400)
    try:
        services.deliver([letter_of(event)])
    except NotDelivered as error:
        return unavailable(str(error))
    return json_response({"event_id": event.event_id, "event_time": event.event_time}, 202)


def _event(body: bytes, *, now: datetime) -> Interaction:
    """Return the event of a click, checked by the same contract as a posted event. Raises `InvalidEvent`."""
    click = decoded(body, _click)
    event = Interaction(
        event_id=f"{DEMO_PREFIX}{click.click_id or uuid.uuid4()}",
        event_time=now,
        event_type=click.event_type,
        user_id=click.user_id,
        item_id=click.item_id,
        request_id=click.request_id,
        position=click.position,
        order_id=None if click.order_id is None else f"{DEMO_PREFIX}{click.order_id}",
        value=click.value,
        quantity=click.quantity,
    )
    return intake.checked(encode(event), Interaction, now=now)


def known_shoppers(redis: Redis, model_version: str) -> list[str]:
    """Return a few shoppers with a published list, for the menu. A short scan finds them, and the result is cached."""
    global _shoppers
    looked_at, version, found = _shoppers
    if found and version == model_version and time.monotonic() - looked_at < SHOPPERS_SECONDS:
        return found
    prefix = recs_key(model_version, "").encode()
    names: set[bytes] = set()
    cursor = 0
    for _ in range(SCAN_ROUNDS):
        cursor, keys = cast("tuple[int, list[bytes]]", redis.scan(cursor, count=500))
        names.update(key.removeprefix(prefix) for key in keys if key.startswith(prefix))
        if len(names) >= SHOPPERS or cursor == 0:
            break
    found = sorted(name.decode(errors="replace") for name in names)[:SHOPPERS]
    _shoppers = (time.monotonic(), model_version, found)
    return found


def only_where_open() -> None:
    """Raise `Http404` unless the setting `shop_page` is on."""
    if not settings.SERVING.shop_page:
        raise Http404("the shop page is turned off")
