"""Authentication: checks the keys of readers, writers and the operator.

Arrives: a request with `Authorization: Bearer KEY` or `X-API-Key: KEY`. Leaves: whether its key opens a door. Next: the
views, `serving.web.asgi` for the bounds of strangers.

Each role may have several keys, so that a key can be changed without a minute in which no client has a valid one. A
shown key is compared with all of them, and each comparison takes the same time, so the time tells nothing about a key.
"""

import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from graphstore.config import PREFIX
from serving.config import Role, ServingConfig

SETTINGS: dict[Role, str] = {"read": "READ_KEYS", "write": "API_KEY", "admin": "ADMIN_KEY"}
"""The setting that a refusal names."""


def shows_key(environ: Mapping[str, Any]) -> bool:
    """Return whether the request with this WSGI environment shows a key of writers. Without such a key, it is False."""
    return shows(environ, "write")


def trace_of(environ: Mapping[str, Any]) -> str | None:
    """Return the trace that the request is a part of. Only who shows the key may name one: each trace costs."""
    named: str | None = environ.get("HTTP_TRACEPARENT")  # first, because almost no request has it
    return named if named is not None and shows_key(environ) else None


def may_read(environ: Mapping[str, Any]) -> bool:
    """Return whether the request may read lists and items: no key of readers is set, or it shows any valid key."""
    if settings.SERVING.read_keys is None or not settings.SERVING.keys_of("read"):  # the first costs nothing
        return True
    return sum(shows(environ, role) for role in SETTINGS) > 0  # not `any`, which ends at the first


def shows(environ: Mapping[str, Any], role: Role) -> bool:
    """Return whether the request shows a key of this role."""
    shown = _shown(environ)
    return bool(shown) and is_key(settings.SERVING, shown, role)


def is_key(config: ServingConfig, shown: str, role: Role) -> bool:
    """Return whether this is a key of the role. The time tells neither which one, nor how much of a key is right."""
    digest = hashlib.sha256(shown.encode(errors="replace")).digest()
    # Not `any`, which ends at the first.
    return sum(secrets.compare_digest(digest, known) for known in _digests(config.keys_of(role))) > 0


@lru_cache(maxsize=64)
def _digests(keys: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(key.encode()).digest() for key in keys)  # so that the length is not told either


def _shown(environ: Mapping[str, Any]) -> str:
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    return token.strip() if scheme.lower() == "bearer" else str(environ.get("HTTP_X_API_KEY", ""))


class ApiKey(BaseAuthentication):
    """Refuses requests without a key of writers. When none is set, it refuses every request: the default is closed."""

    role: ClassVar[Role] = "write"

    def authenticate(self, request: Request) -> tuple[None, str]:
        """Check the key. Raises `PermissionDenied` (403, no key is set) or `AuthenticationFailed` (401, wrong key)."""
        if not settings.SERVING.keys_of(self.role):
            raise PermissionDenied(f"this is closed: set {PREFIX}{SETTINGS[self.role]}")
        if not shows(request.META, self.role):
            raise AuthenticationFailed("show the key: Authorization: Bearer …, or X-API-Key")
        return None, self.role

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme that a 401 answer asks for."""
        return "Bearer"


class AdminKey(ApiKey):
    """The same for what only the operator of the shop may do. The key of the shop's pages does not open it."""

    role = "admin"


class ReadKey(ApiKey):
    """Refuses readers without a key where keys of readers are set. It guards every door that names no other key."""

    role = "read"

    def authenticate(self, request: Request) -> tuple[None, str]:
        """Check the key. Raises `AuthenticationFailed` (401)."""
        if not may_read(request.META):
            raise AuthenticationFailed("show a key: Authorization: Bearer …, or X-API-Key")
        return None, self.role


class ReadOrWrite:
    """Lets a view take the key of a reader for reading, and else that of a writer. It comes before `APIView`."""

    request: Any
    """The view's own; None while the view is described."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """Return who may call: a reader for reading, else a writer."""
        reads = self.request is None or self.request.method in ("GET", "HEAD", "OPTIONS")
        return [ReadKey() if reads else ApiKey()]


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the key in the OpenAPI schema."""

    target_class: type[ApiKey] = ApiKey
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the description of a bearer token."""
        return {"type": "http", "scheme": "bearer"}


class AdminKeyScheme(ApiKeyScheme):  # type: ignore[no-untyped-call]
    """Describes the operator's key in the OpenAPI schema."""

    target_class = AdminKey
    name = "adminKey"


class ReadKeyScheme(ApiKeyScheme):  # type: ignore[no-untyped-call]
    """Describes the readers' key, which need not be set, in the OpenAPI schema."""

    target_class = ReadKey
    name = "readKey"

    def get_security_requirement(self, auto_schema: object) -> list[dict[str, list[object]]]:
        """Return that a request without a key is a choice."""
        return [{}, {self.name: []}]
