"""Otto's sessions (2022): one line a session, with its clicks, carts and orders.

Arrives: `{"session": 12899779, "events": [{"aid": 59625, "ts": 1661724000278, "type": "clicks"}]}`. Leaves: an
interaction for each event; the session is the shopper. https://github.com/otto-de/recsys-dataset
"""

from datetime import datetime

from stream.events import EventType, Interaction
from stream.sources.shapes.fields import Message, NotAnEvent, event_id, lines, needed, time_of
from stream.sources.shapes.shape import Shape, Translated

TYPES = {"clicks": EventType.CLICK, "carts": EventType.CART, "orders": EventType.PURCHASE}


def recognises(message: Message) -> bool:
    """Return whether the message is a session with events."""
    return "session" in message and isinstance(message.get("events"), list)


def translate(message: Message, received: datetime | None) -> list[Translated]:
    """Return the events of a session. Raises `NotAnEvent`."""
    session = needed(message, "session")
    found: list[Translated] = []
    for place, event in enumerate(lines(message, "events")):
        kind = TYPES.get(str(event.get("type")))
        if kind is None:
            raise NotAnEvent(f"events[{place}].type", f"{event.get('type')!r} is none of {', '.join(TYPES)}")
        found.append(
            Interaction(
                event_id=event_id("otto", session, str(place), of=message),
                event_type=kind,
                user_id=session,
                item_id=needed(event, "aid"),
                event_time=time_of(event, "ts", received=received),
            )
        )
    return found


OTTO = Shape("otto", recognises, translate)
