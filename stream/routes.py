"""Routes: the topic of each kind of event, and the field that is its key there."""

from collections.abc import Mapping
from dataclasses import dataclass

from stream import events
from stream.events import CatalogItem, Identity, Impression, Interaction, ItemChange, Seen, UserAttributes

Event = CatalogItem | ItemChange | UserAttributes | Identity | Interaction | Impression | Seen


@dataclass(frozen=True)
class Route:
    """The topic of a kind of event, and the field that is its key there."""

    topic: str
    key: str


ROUTES: Mapping[type[Event], Route] = {
    CatalogItem: Route(events.CATALOG, "item_id"),
    ItemChange: Route(events.CATALOG_CHANGES, "item_id"),
    UserAttributes: Route(events.USERS, "user_id"),
    Identity: Route(events.IDENTITIES, "anonymous_id"),
    Interaction: Route(events.INTERACTIONS, "user_id"),
    Impression: Route(events.IMPRESSIONS, "user_id"),
    Seen: Route(events.SEEN, "user_id"),
}
"""The routes in the order of a replay: users and items come before the interactions that refer to them."""
