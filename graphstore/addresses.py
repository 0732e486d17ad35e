"""Addresses: checks the URLs and addresses of services when they are read, and shows them without passwords.

Arrives: an address from a setting or an option. Leaves: the same address, or a `ValueError` in one line that repeats
nothing of it: a password that is not escaped may stand in any part. Next: the configuration of each package.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

DATABASE_SCHEMES = ("sqlite", "postgresql")
DATABASE_EXAMPLE = "sqlite:///shop.db or postgresql://user@host/shop"
REDIS_SCHEMES = ("redis", "rediss", "unix")
REDIS_EXAMPLE = "redis://127.0.0.1:6379/0"
BROKER_EXAMPLE = "127.0.0.1:9092"
WEBHOOK_EXAMPLE = "https://example.org/alarms"
RANKER_EXAMPLE = "http://127.0.0.1:8001"
THIS_RAY = "auto"
"""In place of an address: the cluster that `ray start` has started on this machine."""

LARGEST_PORT = 65_535

_HOST = re.compile(r"[\w.-]*|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]")
_URL = re.compile(r"(?P<scheme>[A-Za-z][\w+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL)
_ESCAPES = "in a password, write % as %25, @ as %40, / as %2F, : as %3A, ? as %3F, # as %23"


def check_database_url(url: str) -> str:
    """Return the URL of a SQLite or PostgreSQL database. Raises `ValueError`."""
    return _checked(url, "database", DATABASE_SCHEMES, DATABASE_EXAMPLE)


def check_redis_url(url: str) -> str:
    """Return the URL of a Redis. Raises `ValueError`."""
    checked = _checked(url, "Redis", REDIS_SCHEMES, REDIS_EXAMPLE)
    scheme, _, rest = checked.partition("://")
    path = rest.partition("?")[0].partition("/")[2]
    if scheme != "unix" and path and not path.isdigit():
        raise ValueError(f"the database of a Redis is a number, as {REDIS_EXAMPLE}")
    return checked


def check_servers(servers: str) -> str:
    """Return the addresses of brokers, parted by commas: `host`, `host:port` or `[v6]:port`. Raises `ValueError`."""
    named = [server.strip() for server in servers.split(",")]
    for number, server in enumerate(named, 1):
        place = f"address {number} of {len(named)}: " if len(named) > 1 else ""
        if "@" in server or "://" in server:
            raise ValueError(f"{place}host and port alone are an address, as {BROKER_EXAMPLE}")
        if not server:
            raise ValueError(f"{place}it is empty; an address is as {BROKER_EXAMPLE}")
        host, port = host_and_port(server)
        _check_host(host, f"{place}no host is named so; an address is as {BROKER_EXAMPLE}")
        if not host:
            raise ValueError(f"{place}there is no host in it; an address is as {BROKER_EXAMPLE}")
        _check_port(port, f"{place}a port is a number from 1 to {LARGEST_PORT:,}, as {BROKER_EXAMPLE}")
    return servers


def check_webhook_url(url: str) -> str:
    """Return the URL. Raises `ValueError`, in a sentence that repeats nothing of it, if it is not usable."""
    if not re.fullmatch(r"[!-~]+", url):
        raise ValueError(f"the URL of a webhook has no blanks and no letters with accents, as {WEBHOOK_EXAMPLE}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"the host or the port of the webhook is not valid, as {WEBHOOK_EXAMPLE}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the URL of a webhook begins with http:// or https://, as {WEBHOOK_EXAMPLE}")
    if not parts.hostname or port == 0:
        raise ValueError(f"the host or the port of the webhook is not valid, as {WEBHOOK_EXAMPLE}")
    if "@" in parts.netloc:
        raise ValueError("the URL of a webhook holds no user and password: the signature shows who sends")
    if "#" in url:
        raise ValueError(f"the URL of a webhook ends before the #, as {WEBHOOK_EXAMPLE}")
    return url


def check_ranker_url(url: str) -> str:
    """Return the URL of a ranker: http, host and port, nothing else. Raises `ValueError`."""
    said = f"the URL of a ranker is http, a host and a port, as {RANKER_EXAMPLE}"
    scheme, _, address = url.rstrip("/").partition("://")
    host, port = host_and_port(address)
    if scheme != "http" or not host:
        raise ValueError(said)
    _check_host(host, said)
    _check_port(port, said)
    return url


def check_ray_address(address: str) -> str:
    """Return the address of a Ray cluster, `host:port` or `THIS_RAY`. Raises `ValueError`."""
    host, _, port = address.rpartition(":")
    if address != THIS_RAY:
        said = f"a Ray cluster is at host:port, or {THIS_RAY} for the one on this machine"
        _check_host(host, said)
        _check_port(port, said)
        if not host:
            raise ValueError(said)
    return address


def shown_url(url: str) -> str:
    """The URL of a service as one may print it: without the password."""
    hidden = re.sub(r"(://[^:/@?#]*:).*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&]*", r"\1***", hidden, flags=re.IGNORECASE)


def _checked(url: str, service: str, schemes: Sequence[str], example: str) -> str:
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(f"this is no URL of a {service}, as {example}")
    scheme = found["scheme"].partition("+")[0]
    if scheme not in schemes:
        known = " or ".join((", ".join(schemes[:-1]), schemes[-1]))
        raise ValueError(f"{scheme} is not supported: the URL of a {service} begins with {known}")
    if scheme in ("sqlite", "unix"):  # a path of a file
        return url
    user, at, address = found["authority"].rpartition("@")
    if "@" in user or ("@" in found["rest"] and not at):
        raise ValueError(f"more than a host stands around the @: {_ESCAPES}")
    host, port = host_and_port(address)
    _check_host(host, f"the host is no name of a host: {_ESCAPES}")
    _check_port(port, f"the port is no number from 1 to {LARGEST_PORT:,}: {_ESCAPES}")
    return url


def host_and_port(address: str) -> tuple[str, str | None]:
    """Part `host`, `host:port`, `[v6]` or `[v6]:port`."""
    if address.endswith("]") or ":" not in address:
        return address, None
    host, _, port = address.rpartition(":")
    return host, port


def _check_host(host: str, said: str) -> None:
    labels = host.split(".") if not host.startswith("[") else []
    if not _HOST.fullmatch(host) or any(len(label) > 63 for label in labels) or ".." in host:
        raise ValueError(said)


def _check_port(port: str | None, said: str) -> None:
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= LARGEST_PORT):
        raise ValueError(said)
