"""Loaded by schemathesis: what a JSON schema cannot say about an event, or about a list that was served."""

from datetime import UTC, datetime, timedelta
from typing import Any

import schemathesis
from hypothesis import strategies as st

from serving.web import signing
from stream.events import id_problem

MINUTES_OF_A_YEAR = 365 * 24 * 60

# `event_time` is between 1990 and an hour from now.
schemathesis.openapi.format(
    "date-time",
    st.integers(0, MINUTES_OF_A_YEAR).map(lambda ago: (datetime.now(UTC) - timedelta(minutes=ago)).isoformat()),
)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Sign the request id of what is seen, where it is well formed: no generator finds a signature.

    To JSON schema 2.0 is a whole number, too; to the contract, as on every topic, only 2 is.
    """
    if case.operation.path != "/seen/" or not isinstance(case.body, dict):
        return
    if isinstance(positions := case.body.get("positions"), list):
        case.body["positions"] = [int(n) if isinstance(n, float) and n.is_integer() else n for n in positions]
    names = [case.body.get(name) for name in ("request_id", "user_id")]
    if all(isinstance(name, str) and id_problem(name) is None for name in names):
        case.body["request_id"] = signing.new_request_id(names[1], key=signing.key_for(signing.REQUESTS))
