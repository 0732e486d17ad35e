"""Store: keeps the dashboard's pages in Redis. The monitor writes them, the web process reads them.

Arrives: a `Page`. Leaves: `dash:page:{name}`, JSON. Next: `serving.web.dashboard` draws it. A page that the monitor no
longer writes stays, and the web process tells its age.
"""

import msgspec
from redis import Redis

from serving.dashboard.blocks import Page

PAGES = ("overview", "traffic", "funnel", "slots", "drift", "models", "experiments", "items", "operations")
"""The names of the pages, in the order of the menu."""

PREFIX = "dash:page:"

_decode = msgspec.json.Decoder(Page).decode


def write_page(redis: Redis, page: Page) -> None:
    """Replace the page. Raises `redis.RedisError`; `ValueError` for a name that is no page."""
    if page.name not in PAGES:
        raise ValueError(f"{page.name!r} is none of {', '.join(PAGES)}")
    redis.set(PREFIX + page.name, msgspec.json.encode(page))


def read_page(redis: Redis, name: str) -> Page | None:
    """Return the page; None: the monitor has not written it yet. Raises `redis.RedisError`."""
    raw = redis.get(PREFIX + name)
    return None if raw is None else _decode(raw)
