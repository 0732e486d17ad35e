"""Message lines: reads messages of the trade, one on each line, as `stream.sources.shapes` translates them.

Arrives: lines of JSON, or of tab separated fields for Snowplow. Leaves: events. A line that gives no event is reported
with its number and reason. Next: `stream.replay` sends the events.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from stream.events import MAX_EVENT_BYTES, InvalidEvent, decoded
from stream.sources.files.event_lines import Refuse, texts
from stream.sources.shapes.fields import Message, NotAnEvent
from stream.sources.shapes.registry import translated
from stream.sources.shapes.shape import Shape, Translated
from stream.sources.shapes.snowplow import SNOWPLOW, message_of

_decoder = msgspec.json.Decoder(dict[str, Any])


def messages(
    lines: Iterable[bytes], shape: Shape, *, now: Callable[[], datetime], refuse: Refuse
) -> Iterator[Translated]:
    """Yield the events of the lines. Empty lines are skipped, and `refuse` is called for what gives no event.

    A message without a time is refused: a file does not say when it happened.
    """
    for number, text in texts(lines, refuse=refuse):
        try:
            yield from translated(shape, read_message(text, shape), now=now(), received=None)
        except NotAnEvent as error:
            refuse(number, str(error))


def read_message(raw: bytes, shape: Shape) -> Message:
    """Return the message in the bytes. Raises `NotAnEvent`."""
    if shape is SNOWPLOW and not raw.lstrip().startswith(b"{"):
        try:
            return message_of(raw.decode())
        except UnicodeDecodeError as error:
            raise NotAnEvent("", str(error)) from error
    if len(raw) > MAX_EVENT_BYTES:
        raise NotAnEvent("", f"{len(raw)} bytes, over the bound of {MAX_EVENT_BYTES}")
    try:
        return decoded(raw, _decoder)
    except InvalidEvent as error:
        raise NotAnEvent("", str(error)) from error
