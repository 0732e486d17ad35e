"""Writers show a key: `Authorization: Bearer <key>` or `X-API-Key: <key>`."""

import secrets

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request


class ApiKey(BaseAuthentication):
    """Refuses everybody without the key, and everybody at all while no key is set: there is no open default."""

    def authenticate(self, request: Request) -> tuple[None, str]:
        """Raises `PermissionDenied` (403, no key is set) or `AuthenticationFailed` (401)."""
        key = settings.SERVING.api_key
        if key is None or not key.get_secret_value():
            raise PermissionDenied("writing is closed: set SAGESTREAM_API_KEY")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        shown = token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "")
        if not secrets.compare_digest(shown.encode(), key.get_secret_value().encode()):
            raise AuthenticationFailed("show the key: Authorization: Bearer …, or X-API-Key")
        return None, "api-key"

    def authenticate_header(self, request: Request) -> str:
        """What a 401 asks for."""
        return "Bearer"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The key in the API's description."""

    target_class = ApiKey
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        """A bearer token."""
        return {"type": "http", "scheme": "bearer"}
