"""Loaded by schemathesis: what a JSON schema cannot say about an event."""

from datetime import UTC, datetime, timedelta

import schemathesis
from hypothesis import strategies as st

MINUTES_OF_A_YEAR = 365 * 24 * 60

# `event_time` is between 1990 and an hour from now.
schemathesis.openapi.format(
    "date-time",
    st.integers(0, MINUTES_OF_A_YEAR).map(lambda ago: (datetime.now(UTC) - timedelta(minutes=ago)).isoformat()),
)
