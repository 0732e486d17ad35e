"""Readers: says of whoever fetches a list whether it vouches for it, whether it is a robot, and which client it is.

Arrives: a request's environment. Leaves: a `Reader`. Next: `serving.web.impressions` logs it with the list, so that
`monitoring` can report the rates of people alone.

The words are those that robots of search engines, link previews and HTTP libraries put into their user agent. A robot
that says it is a browser is found by its rate, in `monitoring`. Rejected: a package that knows a thousand robots by
name, which must be renewed every month and tells little more than these words; and `okhttp`, `CFNetwork` and `Dart` as
robots, because the apps of shops send them.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from serving.web.limits import LOOPBACK, client_group, is_within

CLIENT_BYTES = 16
MAX_AGENT_LENGTH = 512

_CRAWLERS = re.compile(
    r"(?<!cu)bot(\b|_)|crawl|spider|slurp|\+https?:|facebookexternalhit|facebookcatalog|mediapartners|feedfetcher"
    r"|google-read-aloud|google-inspectiontool|googleother|bingpreview|yandeximages|yandexmetrika|whatsapp/"
    r"|skypeuripreview|embedly|quora link preview|ia_archiver|archive\.org|heritrix|nutch|scrapy|lighthouse|pagespeed"
    r"|gtmetrix|pingdom|statuscake|headlesschrome|phantomjs|puppeteer|playwright|selenium"
    r"|(chatgpt|claude|perplexity)-user",
    re.IGNORECASE,
)
"""Robots that say so. A Cubot is a telephone."""

_LIBRARIES = re.compile(
    r"^(python|curl|wget|libcurl|libwww|lwp|java/|go-http-client|axios|node|undici|got |ruby|php|guzzle|postman"
    r"|insomnia|apache-httpclient|httpie|aiohttp|httpx|perl|powershell|winhttp|k6/|apachebench|ab/|siege)",
    re.IGNORECASE,
)
"""Programs, when nobody vouches for them. A shop's own server is one, and shows the key."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who fetched a list. `client` is a keyed hash of the address, or "" when the address says nothing of a shopper."""

    confirmed: bool = True
    robot: bool = False
    client: str = ""


SHOP = Reader()
"""The shop's own server, which vouches that it shows the list."""


def reader_of(environ: Mapping[str, Any], *, known: bool, confirmed: bool, key: bytes) -> Reader:
    """Return the reader of a request with this WSGI environment.

    Args:
        environ: The environment. Its address is the one behind the trusted proxies.
        known: Whether the request shows the API key.
        confirmed: Whether the reader vouches that the list is shown.
        key: The key of the hash of the address.
    """
    agent = str(environ.get("HTTP_USER_AGENT", ""))[:MAX_AGENT_LENGTH]
    robot = is_robot(agent, known=known)
    return Reader(confirmed, robot, "" if known else client_of(environ["REMOTE_ADDR"], key=key))


@lru_cache(maxsize=4096)
def is_robot(agent: str, *, known: bool) -> bool:
    """Return whether the user agent is a robot's.

    With the key it is a robot only when it says so: a shop's server that asks for a robot passes the robot's agent on.
    Without the key an HTTP library, or a reader without a user agent, is no browser and counts as a robot, too.
    """
    if _CRAWLERS.search(agent):
        return True
    return not known and (not agent.strip() or _LIBRARIES.search(agent) is not None)


def client_of(address: str, *, key: bytes) -> str:
    """Return the keyed hash of what counts as one client (BLAKE2b, 32 hexadecimal digits).

    "" for this machine: a proxy that is not configured stands for all shoppers, so its address tells nothing.
    """
    if is_within(address, LOOPBACK):
        return ""
    return hashlib.blake2b(client_group(address).encode(), key=key, digest_size=CLIENT_BYTES).hexdigest()
