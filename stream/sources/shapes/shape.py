"""Shape: one form in which the trade sends messages, by name and by recognition.

Arrives: a decoded message. Leaves: events of the contract, none where the message means nothing to a recommender.
Next: `stream.sources.shapes.registry` knows them all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from stream.events import CatalogItem, Identity, Interaction, UserAttributes
from stream.sources.shapes.fields import Message

Translated = CatalogItem | UserAttributes | Identity | Interaction

Translate = Callable[[Message, datetime | None], list[Translated]]
"""Called with a message and the time of its arrival, which counts where the message has none (None: it needs one).
Raises `stream.sources.shapes.fields.NotAnEvent`."""


@dataclass(frozen=True)
class Shape:
    """A form of messages. `recognises` looks at the names in a message alone."""

    name: str
    recognises: Callable[[Message], bool]
    translate: Translate
