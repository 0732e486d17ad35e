"""Settings of serving: the main program reads them once from the environment.

In the web process, `serving.web.settings` reads them.
"""

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator

from graphstore.addresses import RANKER_EXAMPLE, check_ranker_url, check_ray_address
from graphstore.config import PackageSettings

LOOPBACK = "127.0.0.1"
LARGEST_RAY = 1024
"""Processes of an own Ray."""
OFF = "off"
"""In place of an address: an empty variable counts as not set."""

Role = Literal["read", "write", "admin"]
"""What a key opens. A key of writers or of the operator reads, too; the operator's does not write."""

KEY_SETTINGS: Mapping[Role, tuple[str, ...]] = {
    "read": ("read_keys",),
    "write": ("api_key", "write_keys"),
    "admin": ("admin_key", "admin_keys"),
}
"""The settings with the keys of a role, the first key first."""

TRACKABLE = ("view", "click", "cart", "purchase", "rating")
"""The event types that a page may tell. What takes a purchase back is the shop's own to say."""

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")


class ServingConfig(PackageSettings):
    """Settings for the lists, their refresh, and the web server."""

    _mask_wrapped: ClassVar[bool] = True
    """Django's settings ask each value for this name at each access. A model of pydantic without it looks in all places
    for 5 µs, several times a request."""

    list_length: int = Field(100, ge=1, le=1000, description="items in each shopper's published list")
    similar_length: int = Field(30, ge=1, le=1000, description="items in each item's list of similar items")
    publisher_ray: str = Field(
        "",
        description="Ray that makes the published lists: the number of processes of an own one, or the address of a"
        " running cluster (host:port; auto: the one on this machine); unset: one process makes them",
    )
    trend_refresh_seconds: float = Field(60.0, gt=0, le=3600, description="how often near-line reads the trend counts")

    serve_host: str = Field(LOOPBACK, description="address that the web server binds")
    serve_port: int = Field(8000, ge=1, le=65535, description="port of the web server")
    serve_processes: int = Field(1, ge=1, le=64, description="web worker processes")
    serve_threads: int = Field(
        8, ge=1, le=256, description="threads for reading requests in each of them, and as many for writing ones"
    )
    allowed_hosts: str = Field("127.0.0.1,localhost,[::1]", description="host names that are answered, comma separated")
    api_key: SecretStr | None = Field(None, description="key that writers must show; unset: they are refused")
    admin_key: SecretStr | None = Field(
        None, description="key of the operator, for the dashboard and to ask for a retrain; unset: both are closed"
    )
    read_keys: SecretStr | None = Field(
        None, description="keys that readers must show, comma separated; unset: reading needs no key"
    )
    write_keys: SecretStr | None = Field(None, description="further keys of writers, comma separated, to change a key")
    admin_keys: SecretStr | None = Field(None, description="further keys of the operator, comma separated")
    secret_key: SecretStr | None = Field(
        None, description="key that signs request ids; unset: made of the API key, or else new at each start"
    )
    shop_page: bool = Field(False, description="serve a shop for trials at `/`, whose visitor may act as anybody")
    slots_file: Path | None = Field(
        None, description="file `slots.toml` with what each place of the shop shows; unset: the defaults"
    )
    slots: str = Field("", description="more places by name, comma separated, each with the shopper's plain list")
    requests_per_second: float = Field(
        50.0, ge=0, description="requests that one address may make without the key; this machine is free; 0: no bound"
    )
    trusted_proxies: str = Field(
        "", description="addresses or networks of proxies whose X-Forwarded-For and -Proto count, comma separated"
    )
    cors_origins: str = Field(
        "", description="origins whose pages may read lists and tell what shoppers do, comma separated; *: every origin"
    )
    track_events: str = Field(
        "", description="event types that a page may tell of an anonymous visitor without a list, comma separated"
    )
    hsts_seconds: int = Field(
        0, ge=0, description="how long browsers must use https for this host (HSTS), told over https only; 0: not told"
    )

    ranker_url: str = Field(
        RANKER_EXAMPLE, description="where the web server asks for rankings by the model now; off: nowhere"
    )
    ranker_timeout_ms: int = Field(
        150, ge=1, le=60_000, description="how long a reader waits for the ranker before a stored list answers"
    )
    ranker_host: str = Field(
        LOOPBACK, description="address that the ranker binds; its door asks for no key, so keep it private"
    )
    ranker_port: int = Field(8001, ge=1, le=65535, description="port of the ranker")
    ranker_processes: int = Field(1, ge=1, le=64, description="ranker processes, each with the model in memory")

    @cached_property
    def signing_secret(self) -> str | None:
        """Return the secret that signs request ids: `secret_key`, else `api_key`. None when neither is set."""
        secrets = (key.get_secret_value() for key in (self.secret_key, self.api_key) if key is not None)
        return next(filter(None, secrets), None)

    def keys_of(self, role: Role) -> tuple[str, ...]:
        """Return the keys that are set for a role; empty: none is."""
        return _keys(tuple(getattr(self, name) for name in KEY_SETTINGS[role]))

    @property
    def hosts(self) -> list[str]:
        """Return `allowed_hosts` as a list, the form that Django needs."""
        return _names(self.allowed_hosts)

    @property
    def slot_names(self) -> frozenset[str]:
        """Return `slots` as a set. `serving.slots.slot_book` has all names."""
        return frozenset(_names(self.slots))

    @property
    def proxies(self) -> list[str]:
        """Return `trusted_proxies` as networks."""
        return [str(ip_network(name, strict=False)) for name in _names(self.trusted_proxies)]

    @property
    def origins(self) -> list[str]:
        """Return the allowed hosts as origins over TLS, which a proxy may have ended. `.host` has subdomains."""
        named = [host for host in self.hosts if host not in (LOOPBACK, "localhost", "[::1]", "*")]
        return [f"https://{host.lstrip('.')}" for host in named] + [
            f"https://*{host}" for host in named if host.startswith(".")
        ]

    @cached_property
    def shared_with(self) -> frozenset[str]:
        """Return `cors_origins` as a set."""
        return frozenset(_names(self.cors_origins))

    @property
    def tracked(self) -> frozenset[str]:
        """Return `track_events` as a set."""
        return frozenset(_names(self.track_events))

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for name in _names(value):
            if name != "*" and not _ORIGIN.fullmatch(name):
                raise ValueError(f"{name!r} is neither * nor an origin such as https://shop.example")
        return value

    @field_validator("track_events")
    @classmethod
    def _are_event_types(cls, value: str) -> str:
        for name in _names(value):
            if name not in TRACKABLE:
                raise ValueError(f"{name!r} is none of {', '.join(TRACKABLE)}")
        return value

    @field_validator("publisher_ray")
    @classmethod
    def _is_a_ray(cls, value: str) -> str:
        if not value.isdecimal():
            return check_ray_address(value) if value else value
        if not 1 <= int(value) <= LARGEST_RAY:
            raise ValueError(f"an own Ray has 1 to {LARGEST_RAY:,} processes")
        return value

    @field_validator("ranker_url")
    @classmethod
    def _is_a_door(cls, value: str) -> str:
        return check_ranker_url(value) if value not in ("", OFF) else ""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        for name in _names(value):
            ip_network(name, strict=False)  # raises ValueError, which names the part
        return value


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


@lru_cache(maxsize=64)
def _keys(settings: tuple[SecretStr | None, ...]) -> tuple[str, ...]:
    return tuple(name for key in settings if key is not None for name in _names(key.get_secret_value()))
