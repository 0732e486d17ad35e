"""Serializers: describe answers in the OpenAPI schema, and do nothing else. `serving.web.schema` describes requests.

orjson writes the answers from dataclasses. A second validation here would cost more than the rest of the request. A
test compares these fields with the real ones, another sends random requests and checks each answer.
"""

from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework import serializers


class BecauseSerializer(serializers.Serializer[object]):
    """An event of the shopper that carried the score."""

    item_id = serializers.CharField()
    title = serializers.CharField()
    event_type = serializers.CharField()
    share = serializers.FloatField(help_text="part of the item's score, 1 for all of it")
    term = serializers.CharField(help_text="term of the model where the event weighs most")


class PathSerializer(serializers.Serializer[object]):
    """So many shoppers who bought this item bought the explained one, too."""

    item_id = serializers.CharField()
    shoppers = serializers.IntegerField(min_value=1)


class ItemEvidenceSerializer(serializers.Serializer[object]):
    """Why an item stands where it stands, as the ranker and the rules computed it."""

    terms = serializers.DictField(child=serializers.FloatField(), help_text="score of each term of the model")
    because = BecauseSerializer(many=True)
    path = PathSerializer(allow_null=True)
    rules = serializers.ListField(child=serializers.CharField(), help_text="rules of the slot that touched it")


class ShownItemSerializer(serializers.Serializer[object]):
    """An item of a served list, with what the impression logs of it."""

    item_id = serializers.CharField()
    position = serializers.IntegerField(min_value=0)
    score = serializers.FloatField(help_text="a logit: of the model, of counts or of a similarity, after the rules")
    title = serializers.CharField()
    categories = serializers.ListField(child=serializers.CharField())
    brand = serializers.CharField()
    price = serializers.FloatField(allow_null=True)
    url = serializers.CharField(help_text="of the item's page")
    image_url = serializers.CharField()
    reason = serializers.CharField(allow_null=True, help_text="only where `explain` was asked")
    source = serializers.CharField(help_text="what has proposed it, or `new` where exploration added it")  # type: ignore[assignment]
    propensity = serializers.FloatField(
        min_value=0, max_value=1, help_text="probability of the item at its position, given the items before it"
    )
    evidence = ItemEvidenceSerializer(allow_null=True, help_text="only where `explain` was asked")


class RecommendationSerializer(serializers.Serializer[object]):
    """A served list. Clicks on it, and what is seen of it, carry its `request_id` and the items' `position`."""

    request_id = serializers.CharField()
    user_id = serializers.CharField(help_text="empty for a session that is not stored")
    slot = serializers.CharField(allow_null=True)
    model_version = serializers.CharField(help_text="empty before the first model")
    variant = serializers.CharField()
    source = serializers.CharField(help_text="what has proposed the first item; empty for an empty list")  # type: ignore[assignment]
    as_of = serializers.DateTimeField(help_text="when the list was computed")
    degraded = serializers.CharField(allow_null=True, help_text="what the list lacks, while something is away")
    items = ShownItemSerializer(many=True)


class ListsSerializer(serializers.Serializer[object]):
    """The lists of one page, by the names of their slots."""

    lists = serializers.DictField(child=RecommendationSerializer())


class CategorySerializer(serializers.Serializer[object]):
    """A category, and how many of its items can be bought."""

    category = serializers.CharField()
    items = serializers.IntegerField(min_value=0)


class CategoriesSerializer(serializers.Serializer[object]):
    """The categories of the shop, the largest first."""

    categories = CategorySerializer(many=True)


class RefusalSerializer(serializers.Serializer[object]):
    """The reason why one event of a post was refused."""

    index = serializers.IntegerField()
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class IntakeSerializer(serializers.Serializer[object]):
    """The result of a post: accepted and refused events."""

    accepted = serializers.IntegerField()
    refused = RefusalSerializer(many=True)


class TranslatedSerializer(IntakeSerializer):
    """The result of a post of messages: those that gave events, those that mean nothing to us, and the refused ones."""

    ignored = serializers.IntegerField()


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

RefusedMessages = PolymorphicProxySerializer(
    component_name="RefusedMessages",
    serializers=[TranslatedSerializer, ProblemSerializer],
    resource_type_field_name=None,
)
"""The same for messages."""
