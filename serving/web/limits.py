"""Limits: bounds how often one address may ask (token buckets), and groups addresses.

Arrives: the address of a client. Leaves: whether its request is answered, or its impression logged. Next:
`serving.web.gateway` answers 429, `serving.web.views` serves the list without its impression.
"""

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache

LOOPBACK = ("127.0.0.0/8", "::1")

BURST_SECONDS = 2.0
"""A bucket holds the tokens of this time: a page asks for several things at once."""
MAX_ADDRESSES = 20_000
"""Buckets in memory. Of more addresses, those that asked least recently start with a full bucket again."""
REQUESTS_PER_IMPRESSION = 10
"""A person looks at one list in a second, and at several pages of it."""
ADDRESSES_AT_ONCE = 20
LISTS_PER_REQUEST = 4
"""A page asks for so many lists at once. One that asks for more at once may do so less often."""
IPV6_SITE_BITS = 64
"""One site has at least so large a network of IPv6 addresses, so it counts as one client."""


@lru_cache(maxsize=4096)
def client_group(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or a /64 network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), IPV6_SITE_BITS), strict=False))
    return str(parsed)


@lru_cache(maxsize=4096)
def is_within(address: str, networks: tuple[str, ...]) -> bool:
    """Return whether the address is one of these addresses or in one of these networks."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in ipaddress.ip_network(network) for network in networks)


class TokenBuckets:
    """A token bucket for each key: `per_second` tokens a second, at most those of `burst_seconds`. 0 never refuses.

    Threads may share it. `clock` is monotonic, in seconds.
    """

    def __init__(
        self,
        per_second: float,
        *,
        burst_seconds: float = BURST_SECONDS,
        bound: int = MAX_ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._capacity = max(per_second * burst_seconds, 1.0)
        self._bound = bound
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when they were counted
        self._lock = threading.Lock()

    def take(self, key: str, cost: float = 1.0) -> bool:
        """Take `cost` tokens. Return False when the bucket is empty.

        The last token may pay for more, which the next ones owe: so what costs more than a bucket holds is not refused
        for ever.
        """
        if not self._per_second:
            return True
        with self._lock:
            now = self._clock()
            tokens, counted_at = self._buckets.pop(key, (self._capacity, now))
            tokens = min(self._capacity, tokens + (now - counted_at) * self._per_second)
            granted = tokens >= 1.0
            self._buckets[key] = (tokens - cost * granted, now)
            if len(self._buckets) > self._bound:
                self._buckets.popitem(last=False)
            return granted


class ImpressionLimit:
    """The bound on logged impressions, or on what is seen of them: each adds rows to the database.

    This machine has no bound.

    Of `per_second` requests that an address may make, one in `REQUESTS_PER_IMPRESSION` may be logged, and all addresses
    together may log what `ADDRESSES_AT_ONCE` may.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        own = per_second / REQUESTS_PER_IMPRESSION
        self._own = TokenBuckets(own, clock=clock)
        self._all = TokenBuckets(own * ADDRESSES_AT_ONCE, clock=clock)

    def allow(self, address: str) -> bool:
        """Return whether this impression may be logged."""
        return is_within(address, LOOPBACK) or (self._own.take(client_group(address)) and self._all.take(""))


class ListLimit:
    """The bound on the lists of requests that ask for many: each costs as much as a request for one.

    This machine has no bound.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._own = TokenBuckets(per_second * LISTS_PER_REQUEST, clock=clock)

    def allow(self, address: str, lists: int) -> bool:
        """Return whether so many lists are made for this address."""
        return is_within(address, LOOPBACK) or self._own.take(client_group(address), lists)
