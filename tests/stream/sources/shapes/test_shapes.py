"""Messages in the form that trackers and shop systems publish give the events that they mean."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from stream.events import CatalogItem, EventType, Identity, Interaction, UserAttributes
from stream.sources.shapes.fields import NotAnEvent
from stream.sources.shapes.registry import SHAPES, shape_of, translated
from stream.sources.shapes.shape import Translated
from stream.sources.shapes.snowplow import TSV_FIELDS, message_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)

SEGMENT_ORDER = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "ajs-1",
    "userId": "u1",
    "anonymousId": "a1",
    "timestamp": "2026-05-01T10:00:00.250Z",
    "properties": {
        "order_id": "o-9",
        "currency": "usd",
        "total": 30,
        "products": [
            {"product_id": "507f1", "sku": "45790-32", "name": "Monopoly", "price": 19, "quantity": 1},
            {"product_id": 505, "price": "3,50", "quantity": "2"},
        ],
    },
}
GA4_ROW = {
    "event_date": "20260501",
    "event_timestamp": "1777629600250000",
    "event_name": "purchase",
    "user_pseudo_id": "1234.5678",
    "event_params": [
        {"key": "currency", "value": {"string_value": "EUR"}},
        {"key": "transaction_id", "value": {"string_value": "T1"}},
    ],
    "ecommerce": {"transaction_id": "T1"},
    "items": [{"item_id": "SKU_1", "item_name": "Shirt", "price": 10.01, "quantity": "3"}],
}
SHOPIFY_ORDER = {
    "id": 450789469,
    "order_number": 1001,
    "created_at": "2026-05-01T12:00:00+02:00",
    "currency": "EUR",
    "financial_status": "partially_refunded",
    "cancelled_at": None,
    "customer": {"id": 207119551},
    "line_items": [
        {"id": 1, "product_id": 632910392, "variant_id": 808950810, "quantity": 2, "price": "199.00"},
        {"id": 2, "product_id": None, "variant_id": None, "quantity": 1, "price": "5.00", "name": "Tip"},
    ],
    "refunds": [
        {
            "created_at": "2026-05-03T00:00:00Z",
            "refund_line_items": [
                {"quantity": 1, "line_item": {"id": 1, "product_id": 632910392, "price": "199.00", "quantity": 2}}
            ],
        }
    ],
}
WOO_ORDER = {
    "id": 727,
    "status": "completed",
    "currency": "USD",
    "date_created_gmt": "2026-05-01T10:00:00",
    "customer_id": 0,
    "billing": {"email": "john@example.com"},
    "line_items": [{"id": 315, "product_id": 93, "variation_id": 0, "quantity": 2, "price": 3}],
}
OTTO = {"session": 12899779, "events": [{"aid": 59625, "ts": 1661724000278, "type": "clicks"}]}
ENVELOPE = {
    "specversion": "1.0",
    "id": "A234",
    "source": "/shop",
    "type": "com.shop.product.viewed.v1",
    "time": "2026-05-01T10:00:00Z",
    "data": {"user_id": "u1", "item_id": "tea"},
}
SNOWPLOW = {
    "event_id": "c6ef3124",
    "collector_tstamp": "2026-05-01 10:00:00.000",
    "domain_userid": "bc2e92ec",
    "unstruct_event": {
        "data": {
            "schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2",
            "data": {"type": "add_to_cart"},
        }
    },
    "contexts": {
        "data": [
            {
                "schema": "iglu:com.snowplowanalytics.snowplow.ecommerce/product/jsonschema/1-0-0",
                "data": {"id": "P1", "price": 12.5, "currency": "EUR", "quantity": 2},
            }
        ]
    },
}
POSTHOG = {
    "event": "Product Viewed",
    "distinct_id": "d1",
    "uuid": "0190-1",
    "timestamp": "2026-05-01T10:00:00Z",
    "properties": {"product_id": "p", "price": 18.99},
}


def read(message: dict[str, Any], received: datetime | None = None) -> list[Translated]:
    shape = shape_of(message)
    assert shape is not None
    return translated(shape, message, now=NOW, received=received)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (SEGMENT_ORDER, "segment"),
        (POSTHOG, "segment"),
        (GA4_ROW, "ga4"),
        (SHOPIFY_ORDER, "shopify"),
        ({"orders": [SHOPIFY_ORDER]}, "shopify"),
        (WOO_ORDER, "woocommerce"),
        (OTTO, "otto"),
        (ENVELOPE, "cloudevents"),
        (SNOWPLOW, "snowplow"),
    ],
)
def test_a_message_is_recognised_by_its_names_and_by_no_other_shape(message: dict[str, Any], name: str) -> None:
    assert [shape.name for shape in SHAPES.values() if shape.recognises(message)] == [name]


def test_our_own_events_are_no_shape_of_the_trade() -> None:
    own = {"event_id": "e", "event_type": "view", "user_id": "u", "item_id": "i", "event_time": "2026-05-01T10:00:00Z"}
    assert shape_of(own) is None


def test_an_order_of_segment_is_a_purchase_of_each_product() -> None:
    first, second = read(SEGMENT_ORDER)
    assert first == Interaction(
        event_id="ajs-1/0",
        event_type=EventType.PURCHASE,
        user_id="u1",
        item_id="507f1",
        event_time=datetime(2026, 5, 1, 10, 0, 0, 250_000, tzinfo=UTC),
        value=19.0,
        quantity=1,
        order_id="o-9",
        currency="USD",
    )
    assert isinstance(second, Interaction)
    assert (second.event_id, second.item_id, second.value, second.quantity) == ("ajs-1/1", "505", 3.5, 2)


def test_a_call_about_one_product_keeps_the_id_of_the_message() -> None:
    (event,) = read(POSTHOG)
    assert isinstance(event, Interaction)
    assert (event.event_id, event.event_type, event.user_id, event.value) == ("0190-1", EventType.VIEW, "d1", 18.99)


def test_an_identify_joins_the_session_and_describes_the_user() -> None:
    message = {"type": "identify", "userId": "u", "anonymousId": "a", "timestamp": "2026-05-01T10:00:00Z"}
    joined, described = read(message | {"traits": {"plan": "gold", "age": 30, "address": {"city": "X"}}})
    assert isinstance(joined, Identity)
    assert isinstance(described, UserAttributes)
    assert (joined.anonymous_id, joined.user_id) == ("a", "u")
    assert described.attributes == {"plan": "gold", "age": 30}


@pytest.mark.parametrize("name", ["Cart Viewed", "Checkout Started", "Product Removed", "Products Searched"])
def test_what_says_nothing_about_an_item_gives_nothing(name: str) -> None:
    assert read(SEGMENT_ORDER | {"event": name}) == []


def test_an_exported_row_of_ga4_is_read_in_microseconds() -> None:
    (event,) = read(GA4_ROW)
    assert isinstance(event, Interaction)
    assert event.event_time == datetime(2026, 5, 1, 10, 0, 0, 250_000, tzinfo=UTC)
    assert (event.user_id, event.item_id, event.value, event.quantity) == ("1234.5678", "SKU_1", 10.01, 3)
    assert (event.order_id, event.currency) == ("T1", "EUR")


def test_a_purchase_that_a_browser_sends_again_counts_once() -> None:
    later = GA4_ROW | {"event_timestamp": "1777629900000000"}
    assert [event.event_id for event in read(GA4_ROW)] == [event.event_id for event in read(later)]  # type: ignore[union-attr]


def test_a_body_of_the_measurement_protocol_takes_its_time_from_the_arrival() -> None:
    body = {"client_id": "c.1", "events": [{"name": "view_item", "params": {"items": [{"item_id": "i"}]}}]}
    (event,) = read(body, received=NOW)
    assert isinstance(event, Interaction)
    assert (event.event_time, event.user_id, event.event_type) == (NOW, "c.1", EventType.VIEW)
    with pytest.raises(NotAnEvent, match="no time"):
        read(body)


def _sent_back(message: dict[str, Any]) -> dict[str, Any]:
    """The same message with negative quantities, as shops write what comes back."""
    text = json.dumps(message)
    return json.loads(re.sub(r'"quantity": ("?)(\d+)', r'"quantity": \1-\2', text))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(SEGMENT_ORDER, id="segment"),
        pytest.param(GA4_ROW, id="ga4"),
        pytest.param(
            ENVELOPE
            | {"type": "com.shop.purchase.v1", "data": {"user_id": "u1", "item_id": "tea", "quantity": 3, "price": 2}},
            id="cloudevents",
        ),
    ],
)
def test_a_purchase_of_a_negative_quantity_is_a_return(message: dict[str, Any]) -> None:
    bought, back = read(message), read(_sent_back(message))
    assert {event.event_type for event in back} == {EventType.RETURN}  # type: ignore[union-attr]
    assert [event.quantity for event in back] == [event.quantity for event in bought]  # type: ignore[union-attr]
    assert None not in [event.quantity for event in back]  # type: ignore[union-attr]


def test_an_order_of_shopify_is_bought_and_partly_taken_back() -> None:
    bought, back = read(SHOPIFY_ORDER)
    assert isinstance(bought, Interaction)
    assert isinstance(back, Interaction)
    assert (bought.user_id, bought.item_id, bought.quantity, bought.value) == ("207119551", "632910392", 2, 199.0)
    assert bought.event_time == datetime(2026, 5, 1, 10, tzinfo=UTC)
    assert (back.event_type, back.quantity, back.event_time.day) == (EventType.RETURN, 1, 3)
    assert bought.event_id != back.event_id


def test_a_cancelled_order_of_shopify_takes_all_back() -> None:
    order = SHOPIFY_ORDER | {"cancelled_at": "2026-05-02T00:00:00Z", "refunds": []}
    assert [event.event_type for event in read(order)] == [EventType.PURCHASE, EventType.CANCEL]  # type: ignore[union-attr]


def test_a_product_of_shopify_is_an_item_with_its_stock() -> None:
    product = {
        "id": 632910392,
        "title": "Tea  pot",
        "vendor": "Leaf",
        "product_type": "Kitchen",
        "handle": "tea-pot",
        "status": "active",
        "updated_at": "2026-05-01T00:00:00Z",
        "variants": [
            {"id": 1, "price": "12.00", "inventory_quantity": 3, "inventory_management": "shopify"},
            {"id": 2, "price": "10.00", "inventory_quantity": -1, "inventory_management": "shopify"},
        ],
        "images": [{"src": "https://cdn.example/1.jpg"}],
    }
    (item,) = read(product)
    assert item == CatalogItem(
        item_id="632910392",
        title="Tea pot",
        categories=["Kitchen"],
        brand="Leaf",
        price=10.0,
        url="/products/tea-pot",
        image_url="https://cdn.example/1.jpg",
        stock=2,
        event_time=datetime(2026, 5, 1, tzinfo=UTC),
    )


def test_a_guest_of_woocommerce_is_known_by_the_address_of_the_bill() -> None:
    (event,) = read(WOO_ORDER)
    assert isinstance(event, Interaction)
    assert (event.user_id, event.item_id, event.quantity, event.order_id) == ("john@example.com", "93", 2, "727")
    with pytest.raises(NotAnEvent, match=r"billing\.email"):
        read(WOO_ORDER | {"billing": {}})


@pytest.mark.parametrize(
    ("state", "types"),
    [
        ("pending", []),
        ("failed", []),
        ("processing", [EventType.PURCHASE]),
        ("cancelled", [EventType.PURCHASE, EventType.CANCEL]),
        ("refunded", [EventType.PURCHASE, EventType.RETURN]),
    ],
)
def test_the_state_of_an_order_of_woocommerce_counts(state: str, types: list[EventType]) -> None:
    assert [event.event_type for event in read(WOO_ORDER | {"status": state})] == types  # type: ignore[union-attr]


def test_a_session_of_otto_gives_its_events() -> None:
    (event,) = read(OTTO)
    assert isinstance(event, Interaction)
    assert (event.user_id, event.item_id, event.event_type) == ("12899779", "59625", EventType.CLICK)
    assert event.event_time == datetime(2022, 8, 28, 22, 0, 0, 278_000, tzinfo=UTC)


def test_an_envelope_is_named_by_source_and_id_and_typed_by_the_end_of_its_type() -> None:
    (event,) = read(ENVELOPE)
    assert isinstance(event, Interaction)
    assert (event.event_id, event.event_type) == ("/shop/A234", EventType.VIEW)


def test_an_envelope_may_hold_a_message_of_another_shape() -> None:
    assert read(ENVELOPE | {"data": SEGMENT_ORDER}) == read(SEGMENT_ORDER)


def test_an_action_of_snowplow_takes_the_product_of_its_entities() -> None:
    (event,) = read(SNOWPLOW)
    assert isinstance(event, Interaction)
    assert (event.event_id, event.user_id, event.item_id) == ("c6ef3124", "bc2e92ec", "P1")
    assert (event.event_type, event.value, event.quantity) == (EventType.CART, 12.5, 2)


def test_a_line_of_snowplow_is_the_same_event() -> None:
    cells = [""] * TSV_FIELDS
    cells[3], cells[6], cells[15] = SNOWPLOW["collector_tstamp"], "c6ef3124", "bc2e92ec"  # type: ignore[call-overload]
    cells[58], cells[52] = json.dumps(SNOWPLOW["unstruct_event"]), json.dumps(SNOWPLOW["contexts"])
    assert read(dict(message_of("\t".join(cells)))) == read(SNOWPLOW)
    with pytest.raises(NotAnEvent, match="3 fields"):
        message_of("a\tb\tc")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (SEGMENT_ORDER | {"userId": "null", "anonymousId": ""}, "userId"),
        (SEGMENT_ORDER | {"timestamp": "yesterday"}, "timestamp"),
        (SEGMENT_ORDER | {"properties": {}}, "properties.product_id"),
        (GA4_ROW | {"items": []}, "items"),
        (ENVELOPE | {"data": "text"}, "data"),
        (OTTO | {"events": [{"aid": 1, "ts": 1661724000278, "type": "wish"}]}, "events[0].type"),
    ],
)
def test_what_is_missing_is_named(message: dict[str, Any], field: str) -> None:
    with pytest.raises(NotAnEvent) as refused:
        read(message)
    assert refused.value.field == field


def test_a_message_of_another_shape_is_told_what_it_looks_like() -> None:
    with pytest.raises(NotAnEvent, match="looks like ga4"):
        translated(SHAPES["segment"], GA4_ROW, now=NOW, received=None)


def test_the_same_message_gives_the_same_ids() -> None:
    without_id = {name: value for name, value in SEGMENT_ORDER.items() if name != "messageId"}
    first, again = (read(dict(without_id)) for _ in range(2))
    assert first == again
    assert len({event.event_id for event in first}) == 2  # type: ignore[union-attr]
