"""Lists door: the one way from a GET for a shopper's list to the list, whichever server code has read the request.

Arrives: a user id, the parsed query and the request's WSGI environment. Leaves: a `Recommendation`, and its impression
for the outbox. Next: `serving.web.views` (Django) and `serving.web.front` write the same answer from it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from serving import recommend
from serving.recommend import Recommendation
from serving.web import impressions, parameters, readers, services, signing
from serving.web.authentication import shows_key


def recommendation(
    user_id: str, query: Mapping[str, str], environ: Mapping[str, Any], *, now: datetime
) -> Recommendation:
    """Return the list that a GET asks for, and log its impression when a slot shows it.

    Raises `serving.web.answers.Refused` for a parameter, and the errors of `serving.recommend`: what each of them
    answers, `serving.web.answers` says.
    """
    user_id = parameters.identifier(user_id, "user_id")
    slot = parameters.slot(query, settings.SERVING.slot_names)
    k, explained = parameters.item_count(query), parameters.flag(query, "explain")
    known = shows_key(environ)
    confirmed = parameters.confirmed(query, known=known)
    served = recommend.recommendations(
        services.storefront(),
        user_id,
        k=k,
        explained=explained,
        now=now,
        slot=slot,
        request_id=signing.new_request_id(user_id, key=signing.key_for(signing.REQUESTS)),
    )
    if slot is not None and environ["REQUEST_METHOD"] == "GET":  # a HEAD request shows no list
        key = signing.key_for(signing.ADDRESSES)
        reader = readers.reader_of(environ, known=known, confirmed=confirmed, key=key)
        # What strangers log is bounded; the key has no bound.
        allowed = known or services.impression_limit().allow(environ["REMOTE_ADDR"])
        impressions.log(services.outbox(), served, slot, now=now, reader=reader, allowed=allowed)
    return served
