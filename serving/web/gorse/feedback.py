"""Feedback: takes what users did with items, as Gorse's clients tell it.

Arrives: a list of `Feedback`. Leaves: interactions. Next: `serving.web.outbox`.
"""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from serving.web import bodies
from serving.web.authentication import ApiKey
from serving.web.gorse import shapes
from serving.web.gorse.entries import read_many, written
from serving.web.outbox import letter_of
from serving.web.views import RawJsonParser


class FeedbackView(APIView):
    """`/api/feedback`."""

    authentication_classes = (ApiKey,)
    parser_classes = (RawJsonParser,)

    def post(self, request: Request) -> Response:
        """Take a list of feedback, all or nothing: `FeedbackType`, `UserId`, `ItemId`, `Timestamp`, `Value`."""
        now = bodies.current_time()
        events = [shapes.interaction(one, now=now) for one in read_many(request, shapes.Feedback)]
        return written([letter_of(event) for event in events])

    def put(self, request: Request) -> Response:
        """The same: what happened at another time is another event here, so nothing is overwritten."""
        return self.post(request)
