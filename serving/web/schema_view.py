"""Schema view: serves the OpenAPI description of the API, made once and kept.

Arrives: a request. Leaves: the description as JSON (`serving.web.schema` has its parts). Next: readers of the
documentation, and generators of clients.

To make it takes 60 ms, which a stranger could ask for again and again. Only the slots change it, so it is kept until
they do. Parameters are refused: the library takes `version` and `lang`, and puts the one into a header, where a line
break is an error of the server.
"""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from serving.slots.slot import Slot
from serving.web import services
from serving.web.criteria import only_known

_kept: tuple[Mapping[str, Slot], str | bytes] | None = None


class SchemaView(SpectacularJSONAPIView):
    """The description of the API."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return the description."""
        global _kept
        only_known(request.query_params, ())
        renderer = self.renderer_classes[0]()
        slots, kept = services.slot_book().current(), _kept
        if kept is None or kept[0] is not slots:
            found: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
            kept = (slots, renderer.render(found.data, renderer_context={}))
            _kept = kept
        return HttpResponse(kept[1], content_type=renderer.media_type)
