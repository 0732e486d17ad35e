"""Authentication: checks the key of writers or of the operator, `Authorization: Bearer <key>` or `X-API-Key: <key>`."""

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from pydantic import SecretStr
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request

from graphstore.config import PREFIX


def shows_key(environ: Mapping[str, Any]) -> bool:
    """Return whether the request with this WSGI environment shows the key. Without a configured key, it is False."""
    return _shows(environ, settings.SERVING.api_key)


def _shows(environ: Mapping[str, Any], key: SecretStr | None) -> bool:
    if key is None or not key.get_secret_value():
        return False
    scheme, _, token = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
    shown = token.strip() if scheme.lower() == "bearer" else str(environ.get("HTTP_X_API_KEY", ""))
    return secrets.compare_digest(shown.encode(), key.get_secret_value().encode())


class ApiKey(BaseAuthentication):
    """Refuses requests without the key. When no key is set, it refuses every request, so the default is closed."""

    setting: ClassVar[Literal["api_key", "admin_key"]] = "api_key"
    """The setting that holds the key."""

    def authenticate(self, request: Request) -> tuple[None, str]:
        """Check the key. Raises `PermissionDenied` (403, no key is set) or `AuthenticationFailed` (401, wrong key)."""
        key: SecretStr | None = getattr(settings.SERVING, self.setting)
        if key is None or not key.get_secret_value():
            raise PermissionDenied(f"this is closed: set {PREFIX}{self.setting.upper()}")
        if not _shows(request.META, key):
            raise AuthenticationFailed("show the key: Authorization: Bearer …, or X-API-Key")
        return None, self.setting

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme that a 401 answer asks for."""
        return "Bearer"


class AdminKey(ApiKey):
    """The same for what only the operator of the shop may do. The key of the shop's pages does not open it."""

    setting = "admin_key"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes the key in the OpenAPI schema."""

    target_class = ApiKey
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """Return the description of a bearer token."""
        return {"type": "http", "scheme": "bearer"}


class AdminKeyScheme(ApiKeyScheme):  # type: ignore[no-untyped-call]
    """Describes the operator's key in the OpenAPI schema."""

    target_class = AdminKey
    name = "adminKey"
