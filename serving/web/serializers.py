"""Serializers: describe answers and posted events in the OpenAPI schema, and do nothing else.

orjson writes the answers from dataclasses, and `stream.events` reads the posts. A second validation here would cost
more than the rest of the request. A test compares these fields with the real ones.
"""

from rest_framework import serializers

from stream.events import EventType


class ListedItemSerializer(serializers.Serializer[object]):
    """An item at its position in the list."""

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
    """The items similar to one item."""

    item_id = serializers.CharField()
    model_version = serializers.CharField()
    items = ListedItemSerializer(many=True)


class TrendingSerializer(serializers.Serializer[object]):
    """The items with the most events. The score is the number of events."""

    window = serializers.CharField()
    items = ListedItemSerializer(many=True)


class InteractionSerializer(serializers.Serializer[object]):
    """An action of a shopper. An `event_id` counts once, even when it is posted several times."""

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
    """The reason why one event of a post was refused."""

    index = serializers.IntegerField()
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class IntakeSerializer(serializers.Serializer[object]):
    """The result of a post: accepted and refused events."""

    accepted = serializers.IntegerField()
    refused = RefusalSerializer(many=True)


class ProblemSerializer(serializers.Serializer[object]):
    """The reason why a request was refused."""

    detail = serializers.CharField()
    field = serializers.CharField(required=False)
