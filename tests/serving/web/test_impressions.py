from datetime import UTC, datetime

from redis import Redis

from serving import recommend
from serving.recommend import Storefront
from serving.web.impressions import impression
from stream.events import Impression, decode, encode
from tests.serving.toy import MODEL, fill_redis

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_an_impression_says_what_was_served(redis: Redis) -> None:
    fill_redis(redis)
    store = Storefront.open(redis, pointer_seconds=0, item_seconds=0)
    served = recommend.recommendations(store, "ann", k=2, explained=False, now=NOW)
    event = decode(encode(impression(served, "home", now=NOW)), Impression, now=NOW)
    assert (event.request_id, event.user_id, event.slot) == (served.request_id, "ann", "home")
    assert (event.model_version, event.variant, event.event_time) == (MODEL, "champion", NOW)
    assert [(item.item_id, item.position, item.score, item.propensity, item.source) for item in event.items] == [
        ("elder", 0, 5.0, 1.0, "batch"),
        ("apple", 1, 4.0, 1.0, "batch"),
    ]
