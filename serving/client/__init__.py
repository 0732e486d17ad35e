"""The Python client of the HTTP API: `Sagestream`, and `AsyncSagestream` with the same calls.

Read `call` (one request as a value), `lists`, `catalogue`, `shoppers` and `telling` (which calls there are), `doors`
(the table of them), then `connection` (sends them), `retry` and `buffer` (events in the background). It needs msgspec
and httpx alone, the extra `client`; `tests/serving/client` holds it to the real server.
"""

from serving.client.answers import (
    Because,
    Category,
    Errand,
    Evidence,
    ItemPath,
    KnownItem,
    KnownUser,
    Recommendation,
    RefusedPart,
    ShownItem,
    Taken,
    Token,
)
from serving.client.buffer import AsyncEventBuffer, BufferFull, EventBuffer, Limits
from serving.client.connection import AsyncSagestream, Sagestream
from serving.client.errors import (
    BadRequest,
    KeyRefused,
    NotFound,
    Refused,
    SagestreamError,
    ServerError,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from serving.client.lists import Criteria, Did, Slot, Visit
from serving.client.retry import Retry
from serving.client.told import Event, Item, ItemChange, Login, Stock, landed
from stream.events import EventType

__all__ = [
    "AsyncEventBuffer",
    "AsyncSagestream",
    "BadRequest",
    "Because",
    "BufferFull",
    "Category",
    "Criteria",
    "Did",
    "Errand",
    "Event",
    "EventBuffer",
    "EventType",
    "Evidence",
    "Item",
    "ItemChange",
    "ItemPath",
    "KeyRefused",
    "KnownItem",
    "KnownUser",
    "Limits",
    "Login",
    "NotFound",
    "Recommendation",
    "Refused",
    "RefusedPart",
    "Retry",
    "Sagestream",
    "SagestreamError",
    "ServerError",
    "ShownItem",
    "Slot",
    "Stock",
    "Taken",
    "Token",
    "TooManyRequests",
    "Unavailable",
    "UnexpectedAnswer",
    "Visit",
    "landed",
]
