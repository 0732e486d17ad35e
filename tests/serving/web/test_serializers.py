import dataclasses

import msgspec
import pytest

from serving import recommend
from serving.web import intake, serializers
from stream import events


@pytest.mark.parametrize(
    ("described", "real"),
    [
        (serializers.ListedItemSerializer, recommend.ListedItem),
        (serializers.RecommendationSerializer, recommend.Recommendation),
        (serializers.SimilarItemsSerializer, recommend.SimilarItems),
        (serializers.RefusalSerializer, intake.Refusal),
    ],
)
def test_the_description_is_that_of_the_answers(described: type, real: type) -> None:
    assert set(described().fields) == {field.name for field in dataclasses.fields(real)}


def test_the_description_is_that_of_the_event_contract() -> None:
    fields = serializers.InteractionSerializer().fields
    real = {field.name: field.required for field in msgspec.structs.fields(events.Interaction)}
    assert {name: field.required for name, field in fields.items()} == real
