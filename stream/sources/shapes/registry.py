"""Registry: all shapes of messages, by name and by recognition.

Arrives: a message, and the name of its shape where it is known. Leaves: events that the contract accepts. Next:
`serving.web.messages` for posted messages, `sagestream.line_source` for lines, `stream.sources.messages` for files.
"""

from collections.abc import Mapping
from datetime import datetime

from stream.events import InvalidEvent, check
from stream.sources.shapes.cloudevents import CLOUDEVENTS
from stream.sources.shapes.fields import Message, NotAnEvent
from stream.sources.shapes.ga4 import GA4
from stream.sources.shapes.otto import OTTO
from stream.sources.shapes.segment import SEGMENT
from stream.sources.shapes.shape import Shape, Translated
from stream.sources.shapes.shopify import SHOPIFY
from stream.sources.shapes.snowplow import SNOWPLOW
from stream.sources.shapes.woocommerce import WOOCOMMERCE

SHAPES: Mapping[str, Shape] = {
    shape.name: shape for shape in (CLOUDEVENTS, SNOWPLOW, GA4, OTTO, WOOCOMMERCE, SHOPIFY, SEGMENT)
}
"""By name, in the order in which they are asked: the ones with the rarest names first."""


def shape_of(message: Message) -> Shape | None:
    """Return the shape that recognises the message."""
    return next((shape for shape in SHAPES.values() if shape.recognises(message)), None)


def translated(shape: Shape, message: Message, *, now: datetime, received: datetime | None) -> list[Translated]:
    """Return the events of a message, checked by the contract at the time `now`; all of them or an error.

    `received` counts where the message has no time; None: it needs one. Raises `NotAnEvent`, also for a message of
    another shape and for what the contract does not accept.
    """
    if not shape.recognises(message):
        other = shape_of(message)
        found = f"it looks like {other.name}" if other else f"it has {', '.join(map(str, list(message)[:8]))}"
        raise NotAnEvent("", f"no message of {shape.name}: {found}")
    try:
        return [check(event, now=now) for event in shape.translate(message, received)]
    except InvalidEvent as error:
        raise NotAnEvent("", str(error)) from error
