"""Serializers: describe answers in the OpenAPI schema, and do nothing else. `serving.web.schema` describes requests.

orjson writes the answers from dataclasses. A second validation here would cost more than the rest of the request. A
test compares these fields with the real ones, another sends random requests and checks each answer.
"""

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers


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


class ShownItemSerializer(ListedItemSerializer):
    """An item of a served list, with what the impression logs of it."""

    source = serializers.CharField(help_text="of the list, or `new` for a new item that the slot added")  # type: ignore[assignment]
    propensity = serializers.FloatField(
        min_value=0, max_value=1, help_text="probability of the item at its position, given the items before it"
    )


class RecommendationSerializer(serializers.Serializer[object]):
    """A served list. Clicks on it, and what is seen of it, carry its `request_id` and the items' `position`."""

    request_id = serializers.CharField()
    user_id = serializers.CharField()
    model_version = serializers.CharField()
    variant = serializers.CharField()
    source = serializers.ChoiceField(choices=["nearline", "batch", "popular"])  # type: ignore[assignment]
    as_of = serializers.DateTimeField(help_text="when the list was computed")
    items = ShownItemSerializer(many=True)


class SimilarItemsSerializer(serializers.Serializer[object]):
    """The items similar to one item."""

    item_id = serializers.CharField()
    model_version = serializers.CharField()
    items = ListedItemSerializer(many=True)


class TrendingSerializer(serializers.Serializer[object]):
    """The items with the most events. The score is the number of events."""

    window = serializers.CharField()
    items = ListedItemSerializer(many=True)


class RefusalSerializer(serializers.Serializer[object]):
    """The reason why one event of a post was refused."""

    index = serializers.IntegerField()
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class IntakeSerializer(serializers.Serializer[object]):
    """The result of a post: accepted and refused events."""

    accepted = serializers.IntegerField()
    refused = RefusalSerializer(many=True)


class AskedSerializer(serializers.Serializer[object]):
    """A retrain request that is on its way to the scheduler."""

    status = serializers.ChoiceField(["asked"])
    full = serializers.BooleanField()
    why = serializers.CharField()


class SeenSerializer(serializers.Serializer[object]):
    """How many positions were taken as seen."""

    seen = serializers.IntegerField()


class ProblemSerializer(serializers.Serializer[object]):
    """The reason why a request was refused."""

    detail = serializers.CharField()
    field = serializers.CharField(required=False)


RefusedPost = PolymorphicProxySerializer(
    component_name="RefusedPost", serializers=[IntakeSerializer, ProblemSerializer], resource_type_field_name=None
)
"""A post without a good event: each event with its reason, or one reason for the whole body."""
