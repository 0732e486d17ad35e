"""Rendering: writes every API answer as JSON with orjson. The `Accept` header is ignored.

Arrives: the value that a view returns. Leaves: bytes. This is not part of `serving.web.answers`, because the REST
framework imports its renderers before its views.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OrjsonRenderer(BaseRenderer):
    """Renders dataclasses, times (RFC 3339) and plain values as JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """Return the body. It is empty when `data` is None."""
        return b"" if data is None else orjson.dumps(data)


class JsonAlways(DefaultContentNegotiation):
    """Always takes a view's first renderer and ignores the `Accept` header."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the first renderer and its media type."""
        first = next(iter(renderers))
        return first, first.media_type or ""
