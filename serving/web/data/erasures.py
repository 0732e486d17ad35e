"""Erasures: what the law asks for: to forget a shopper, and to tell all that is known of one.

Arrives: requests of the operator. Leaves: an errand in Redis (`graphstore.redis.errands`), because the web process has
no SQL. Next: `monitoring.errands` carries it out; these doors tell its state, and hand out the export.

Rejected: to wait for the monitor within the request, because to forget a shopper rewrites snapshots and takes seconds.
"""

import orjson
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from graphstore.redis import errands
from graphstore.redis.errands import DONE, FAILED, Kind, NotAsked, State
from serving.web import bodies, parameters, schema, services
from serving.web.answers import Busy
from serving.web.authentication import AdminKey
from serving.web.criteria import only_known
from serving.web.data.described import EXPORT, STATE
from stream.events import milliseconds, utc

WHO = "api"
LOOK_AGAIN_SECONDS = "1"

_receipt = OpenApiParameter("receipt", schema.ID, description="of an earlier answer: its export")


class ErasureView(APIView):
    """What became of an erasure."""

    authentication_classes = (AdminKey,)

    @extend_schema(responses=STATE)
    def get(self, request: Request, receipt: str) -> Response:
        """The state: waiting, running, done or failed, with what was deleted. It is kept for a day after its end."""
        only_known(request.query_params, ())
        return Response(_told(_known("forget", receipt)))


class ExportView(APIView):
    """All that is known of a shopper."""

    authentication_classes = (AdminKey,)

    @extend_schema(parameters=[_receipt], responses=EXPORT)
    def get(self, request: Request, user_id: str) -> Response:
        """Ask for the export: 202 with a receipt. With `receipt`: 200 with the rows, or 202 while it is made."""
        only_known(request.query_params, {"receipt"})
        user_id = parameters.identifier(user_id, "user_id")
        receipt = request.query_params.get("receipt")
        if receipt is None:
            return asked("export", user_id)
        state = _known("export", receipt, subject=user_id)
        if state.state == FAILED:
            return Response({"detail": state.said}, status=404)
        if state.state != DONE:
            return _accepted(state)
        content = errands.result(services.storefront().redis, receipt)
        if content is None:
            raise NotFound("this export is gone: it is kept for some minutes, ask for it again")
        return Response(orjson.Fragment(content))


def asked(kind: Kind, user_id: str) -> Response:
    """Put the errand for this shopper; 202 with its receipt. An equal one that has not ended is not put twice."""
    redis = services.storefront().redis
    try:
        receipt = errands.ask(redis, kind, user_id, who=WHO, now=milliseconds(bodies.current_time()))
    except NotAsked as error:
        raise Busy(str(error)) from error
    return _accepted(_known(kind, receipt))


def _known(kind: Kind, receipt: str, *, subject: str | None = None) -> State:
    found = errands.state(services.storefront().redis, parameters.identifier(receipt, "receipt"))
    if found is None or found.kind != kind or (subject is not None and found.subject != subject):
        raise NotFound("no such receipt: its state is kept for a day after its last change")
    return found


def _accepted(state: State) -> Response:
    return Response(_told(state), status=202, headers={"Retry-After": LOOK_AGAIN_SECONDS})


def _told(state: State) -> dict[str, object]:
    return {
        "receipt": state.id,
        "state": state.state,
        "said": state.said,
        "asked_at": utc(state.asked_at),
        "changed_at": utc(state.changed_at),
    }
