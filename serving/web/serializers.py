"""The shapes of answers and posts, for the API's description only.

Answers are dataclasses that orjson writes, posts are read by `stream.events`: validating both a second time here would
cost more than the rest of the request. A test holds these shapes to the real ones.
"""

from rest_framework import serializers

from stream.events import EventType


class ListedItemSerializer(serializers.Serializer[object]):
    """An item at its position."""

    item_id = serializers.CharField()
    position = serializers.IntegerField(min_value=0)
    score = serializers.FloatField()
    title = serializers.CharField()
    categories = serializers.ListField(child=serializers.CharField())
    brand = serializers.CharField()
    price = serializers.FloatField(allow_null=True)
    reason = serializers.CharField(allow_null=True, help_text="only where `explain` was asked")


class RecommendationSerializer(serializers.Serializer[object]):
    """A served list. Clicks on it carry its `request_id` and the item's `position`."""

    request_id = serializers.CharField()
    user_id = serializers.CharField()
    model_version = serializers.CharField()
    variant = serializers.CharField()
    source = serializers.ChoiceField(choices=["nearline", "batch", "popular"])  # type: ignore[assignment]
    as_of = serializers.DateTimeField(help_text="when the list was computed")
    items = ListedItemSerializer(many=True)


class SimilarItemsSerializer(serializers.Serializer[object]):
    """What goes with an item."""

    item_id = serializers.CharField()
    model_version = serializers.CharField()
    items = ListedItemSerializer(many=True)


class TrendingSerializer(serializers.Serializer[object]):
    """What most shoppers touched; the score is the number of events."""

    window = serializers.CharField()
    items = ListedItemSerializer(many=True)


class InteractionSerializer(serializers.Serializer[object]):
    """What a shopper did. The same `event_id` counts once, however often it is posted."""

    event_id = serializers.CharField(max_length=128)
    event_type = serializers.ChoiceField(choices=[kind.value for kind in EventType])
    user_id = serializers.CharField(max_length=128)
    item_id = serializers.CharField(max_length=128)
    event_time = serializers.DateTimeField()
    value = serializers.FloatField(required=False, allow_null=True)
    quantity = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    request_id = serializers.CharField(required=False, allow_null=True, max_length=128)
    position = serializers.IntegerField(required=False, allow_null=True, min_value=0)


class RefusalSerializer(serializers.Serializer[object]):
    """Why one event of a post was not taken."""

    index = serializers.IntegerField()
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class IntakeSerializer(serializers.Serializer[object]):
    """What became of a post."""

    accepted = serializers.IntegerField()
    refused = RefusalSerializer(many=True)


class ProblemSerializer(serializers.Serializer[object]):
    """Why a request was refused."""

    detail = serializers.CharField()
    field = serializers.CharField(required=False)
