"""Files of messages are recognised by their first row, and imported as events, items, attributes and logins."""

import json
from pathlib import Path

from stream.events import CatalogItem, Identity, Interaction, UserAttributes
from stream.sources.opening import open_source
from stream.sources.source import Reading

VIEWED = {
    "type": "track",
    "event": "Product Viewed",
    "userId": "u",
    "messageId": "m",
    "timestamp": "2024-05-01T10:00:00Z",
    "properties": {"product_id": "p", "price": 2.5, "currency": "EUR"},
}
LOGIN = {"type": "identify", "userId": "u", "anonymousId": "a", "timestamp": "2024-05-01T10:00:00Z", "traits": {"x": 1}}


def test_lines_of_segment_are_recognised_without_an_option(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    bad = VIEWED | {"userId": None}
    file.write_text("\n".join(json.dumps(message) for message in (VIEWED, LOGIN, bad)))
    reading = Reading()
    source = open_source("table", [file])
    events = list(source.events(reading))
    assert source.parts[0].form == "messages of segment"
    assert [type(event) for event in events] == [Identity, UserAttributes, Interaction]
    view = events[-1]
    assert isinstance(view, Interaction)
    assert (view.event_id, view.value, view.quantity, view.currency, view.order_id) == ("m", 2.5, None, "EUR", None)
    assert reading.rejections.counts == {"no id - at `$.userId`": 1}
    assert reading.understood[str(file)].rows == 1


def test_a_list_of_orders_of_a_shop_system_is_read_and_can_be_sampled(tmp_path: Path) -> None:
    order = {
        "id": 7,
        "status": "completed",
        "date_created_gmt": "2024-05-01T10:00:00",
        "customer_id": 3,
        "billing": {"email": "x@example.com"},
        "line_items": [{"id": 1, "product_id": 93, "quantity": 2, "price": 3}],
    }
    product = {"id": 93, "name": "Tea", "stock_status": "instock", "permalink": "https://s/tea", "date_created": "2024"}
    file = tmp_path / "orders.json"
    file.write_text(json.dumps([order, product | {"date_created": "2024-01-01"}]))
    table = open_source("table", [file]).read(Reading())
    assert table.interactions["item_id"].tolist() == ["93"]
    assert table.interactions["order_id"].tolist() == ["7"]
    assert [item.title for item in table.items if isinstance(item, CatalogItem)] == ["Tea"]


def test_columns_that_are_named_are_read_as_a_table(tmp_path: Path) -> None:
    from stream.sources.options import SourceOptions

    file = tmp_path / "odd.jsonl"
    file.write_text(json.dumps({"collector_tstamp": "2024-05-01", "event_id": "e", "who": "u", "what": "i"}))
    options = SourceOptions(columns={"user": "who", "item": "what", "time": "collector_tstamp"})
    (event,) = open_source("table", [file], options=options).events(Reading())
    assert isinstance(event, Interaction)
    assert (event.user_id, event.item_id) == ("u", "i")
