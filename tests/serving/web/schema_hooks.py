"""Loaded by schemathesis: what a JSON schema cannot say about an event, or about a list that was served."""

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NOT_SET

from serving.web import schema, signing
from stream.events import id_problem

MINUTES_OF_A_YEAR = 365 * 24 * 60

# `event_time` is between 1990 and an hour from now.
schemathesis.openapi.format(
    "date-time",
    st.integers(0, MINUTES_OF_A_YEAR).map(lambda ago: (datetime.now(UTC) - timedelta(minutes=ago)).isoformat()),
)


schemathesis.openapi.format(
    schema.URL_FORMAT, st.sampled_from(["", "/", "/p/tea?size=2#more", "https://shop.example/ä", "http://cdn/x.jpg"])
)


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out requests for a retrain without a body: it may be left out, but the generator counts that as wrong."""
    return not (case.operation.path == "/retrain/" and case.body is NOT_SET)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make well-formed values fit together: the two ends of a price range, a slot that is asked for once, a signature.

    What is not well formed stays as it is.
    """
    _order_prices(case.query)
    if case.operation.path == "/recommendations/" and isinstance(case.body, dict):
        _ask_once(case.body)
    sign(context, case, kwargs)


def _order_prices(criteria: Any) -> None:
    if not isinstance(criteria, dict):
        return
    low, high = criteria.get("price_min"), criteria.get("price_max")
    try:
        if float(low) > float(high):  # type: ignore[arg-type]
            criteria["price_min"], criteria["price_max"] = high, low
    except (TypeError, ValueError):
        return


def _ask_once(body: dict[str, Any]) -> None:
    _order_prices(body.get("criteria"))
    if not isinstance(body.get("slots"), list):
        return
    names, kept = [], []
    for part in body["slots"]:
        name = part.get("slot") if isinstance(part, dict) else part
        if isinstance(part, dict):
            _order_prices(part.get("criteria"))
            k = part.get("k")
            part |= {"k": int(k)} if isinstance(k, float) and k.is_integer() else {}
        if not isinstance(name, str) or name not in names:
            kept.append(part)
            names.append(name)
    body["slots"] = kept


def sign(context: Any, case: Any, kwargs: Any) -> None:
    """Sign the request id of what is seen, where it is well formed: no generator finds a signature.

    To JSON schema 2.0 is a whole number, too; to the contract, as on every topic, only 2 is.
    """
    case.body = _whole(case.body)
    if not isinstance(case.body, dict):
        return
    if case.operation.path == "/track/":
        _sign(case.body)
    if case.operation.path != "/seen/":
        return
    names = [case.body.get(name) for name in ("request_id", "user_id")]
    if all(isinstance(name, str) and id_problem(name) is None for name in names):
        case.body["request_id"] = signing.new_request_id(names[1], key=signing.key_for(signing.REQUESTS))


def _sign(message: dict[str, Any]) -> None:
    """Give a well-formed message of a page the token of its shopper, and its events signed lists."""
    user_id, token = message.get("user_id"), message.get("token")
    if not isinstance(user_id, str) or id_problem(user_id) is not None:
        return
    if token is None or (isinstance(token, str) and 0 < len(token) <= 128):
        key = signing.key_for(signing.SHOPPERS)
        message["token"] = signing.shopper_token(user_id, key=key, now=datetime.now(UTC))
    for told in message.get("events") if isinstance(message.get("events"), list) else ():
        request_id = told.get("request_id") if isinstance(told, dict) else None
        if isinstance(request_id, str) and id_problem(request_id) is None:
            told["request_id"] = signing.new_request_id(user_id, key=signing.key_for(signing.REQUESTS))


def _whole(value: Any) -> Any:
    """Return the body with 2 for 2.0."""
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
