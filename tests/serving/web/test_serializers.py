import dataclasses

import pytest

from serving import recommend
from serving.web import intake, serializers


@pytest.mark.parametrize(
    ("described", "real"),
    [
        (serializers.ListedItemSerializer, recommend.ListedItem),
        (serializers.ShownItemSerializer, recommend.ShownItem),
        (serializers.RecommendationSerializer, recommend.Recommendation),
        (serializers.SimilarItemsSerializer, recommend.SimilarItems),
        (serializers.RefusalSerializer, intake.Refusal),
    ],
)
def test_the_description_is_that_of_the_answers(described: type, real: type) -> None:
    assert set(described().fields) == {field.name for field in dataclasses.fields(real)}
