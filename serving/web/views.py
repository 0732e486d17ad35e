"""Views: the HTTP API, which calls `serving.recommend` and receives events.

Arrives: requests. Leaves: dataclasses for `serving.web.rendering`, and impressions and events for the outbox.
Next: `serving.web.answers` handles the errors.
"""

from datetime import UTC, datetime
from typing import IO, Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from graphstore.redis.asked import ask
from serving.web import bodies, intake, messages, retrain, schema, seen, serializers, services, signing, track
from serving.web.answers import Refused, TooLarge, TooMany
from serving.web.authentication import AdminKey, ApiKey, shows_key
from serving.web.outbox import count, letter_of
from stream.events import SEEN, Interaction

_problems = dict.fromkeys((400, 429, 503), serializers.ProblemSerializer)
_refused_posts = dict.fromkeys((401, 403, 408, 413, 415, 429, 503), serializers.ProblemSerializer)


class RawJsonParser(BaseParser):
    """Returns the body as bytes, because `serving.web.intake` decodes it."""

    media_type = "application/json"

    def parse(  # type: ignore[override]
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> bytes:
        """Return the body. Raises `TooLarge`."""
        body: bytes = stream.read(intake.MAX_BODY_BYTES + 1)
        if len(body) > intake.MAX_BODY_BYTES:
            raise TooLarge(f"over {intake.MAX_BODY_BYTES} bytes")
        return body


class RawTextParser(RawJsonParser):
    """The same for the type that a browser gives a beacon: JSON would need the permission of another host (CORS)."""

    media_type = "text/plain"


class EventsView(APIView):
    """Receives shoppers' events."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    @extend_schema(
        request={"application/json": schema.posted_events(settings.MAX_POSTED_EVENTS)},
        responses={202: serializers.IntakeSerializer, 400: serializers.RefusedPost, **_refused_posts},
    )
    def post(self, request: Request) -> Response:
        """One event or a list of events; 202 after Kafka has the good ones, with a reason for each bad one."""
        objects, now = bodies.objects(request), datetime.now(UTC)
        # Not `bodies.read`, which fills in a missing time: an event says when it happened.
        return bodies.answer(bodies.each(objects, lambda raw: letter_of(intake.checked(raw, Interaction, now=now))))


class MessagesView(APIView):
    """Receives messages of a tracker as they are."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)
    shape = messages.DOORS[0]

    @extend_schema(
        request={"application/json": schema.posted_messages(settings.MAX_POSTED_EVENTS)},
        responses={202: serializers.TranslatedSerializer, 400: serializers.RefusedMessages, **_refused_posts},
    )
    def post(self, request: Request) -> Response:
        """One message, a list or `{"batch": [...]}`; 202 after Kafka has the events, with a reason for each bad one."""
        body = bodies.body_of(request, allowed=None)
        now, bound = datetime.now(UTC), settings.MAX_POSTED_EVENTS
        try:
            found = messages.read_messages(body, self.shape, bound=bound, now=now)
        except intake.UnreadableBody as error:
            raise Refused("", str(error)) from error
        if found.events:
            services.deliver([letter_of(event) for event in found.events])
        answer = {"accepted": found.accepted, "ignored": found.ignored, "refused": found.refused}
        return Response(answer, status=202 if found.accepted or found.ignored else 400)


class SeenView(APIView):
    """Takes what shoppers have truly seen, from the browser itself: the signature of the list stands for a key."""

    authentication_classes = ()
    parser_classes = (RawJsonParser, RawTextParser)

    @extend_schema(
        request={"application/json": schema.SEEN},
        responses={202: serializers.SeenSerializer, 400: serializers.ProblemSerializer, **_refused_posts},
    )
    def post(self, request: Request) -> Response:
        """The positions of a list that are in view, also as text/plain; 202 after Kafka has them. Repeat it freely."""
        body = bodies.body_of(request)
        event = seen.read_look(body, key=signing.key_for(signing.REQUESTS), now=datetime.now(UTC))
        if not (shows_key(request.META) or services.seen_limit().allow(request.META["REMOTE_ADDR"])):
            count(SEEN, "limited")
            raise TooMany("too much is seen from your address: try again")
        services.deliver([letter_of(event)])
        return Response({"seen": len(event.positions)}, status=202)


class TrackView(APIView):
    """Takes what shoppers do, from the browser itself: `serving.web.track` says who vouches for it."""

    authentication_classes = ()
    parser_classes = (RawJsonParser, RawTextParser)

    @extend_schema(
        request={"application/json": schema.TRACKED},
        responses={202: serializers.IntakeSerializer, 400: serializers.RefusedPost, **_refused_posts},
    )
    def post(self, request: Request) -> Response:
        """The events and the login of one shopper, also as text/plain; 202 with a reason for each bad event."""
        body = bodies.body_of(request)
        found = track.read_message(body, open_types=settings.SERVING.tracked, now=datetime.now(UTC))
        letters = [] if found.refused and not found.interactions else track.letters(found)  # nor a login alone
        if not (shows_key(request.META) or services.track_limit().allow(request.META["REMOTE_ADDR"])):
            for letter in letters:
                count(letter.topic, "limited")
            raise TooMany("too much is told from your address: try again")
        if letters:
            services.deliver(letters)
        answer = {"accepted": len(letters), "refused": found.refused}
        return Response(answer, status=202 if letters else 400)


class RetrainView(APIView):
    """Takes requests for a new model."""

    authentication_classes = (AdminKey,)
    parser_classes = (RawJsonParser,)

    @extend_schema(
        request={"application/json": schema.RETRAIN},
        responses={202: serializers.AskedSerializer, 400: serializers.ProblemSerializer, **_refused_posts},
    )
    def post(self, request: Request) -> Response:
        """Ask the scheduler for a new model; 202 when the request is on its way. `sagestream history` tells its end."""
        asked = retrain.read_request(bodies.body_of(request), now=datetime.now(UTC))
        ask(services.storefront().redis, asked)
        return Response({"status": "asked", "full": asked.full, "why": asked.reason}, status=202)
