"""How the API writes: JSON by orjson, whatever the client says that it accepts.

Arrives: what a view returns. Leaves: bytes. (Apart from `serving.web.answers`, because the REST framework imports its
renderers before its views.)
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OrjsonRenderer(BaseRenderer):
    """Dataclasses, times (RFC 3339) and plain values as JSON."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        """The body; empty where there is nothing to say."""
        return b"" if data is None else orjson.dumps(data)


class JsonAlways(DefaultContentNegotiation):
    """No negotiation: a view's first renderer, whatever the client says that it accepts."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """The first renderer."""
        first = next(iter(renderers))
        return first, first.media_type or ""
