import dataclasses

import pytest

from serving import evidence, recommend
from serving.web import intake, serializers


@pytest.mark.parametrize(
    ("described", "real"),
    [
        (serializers.ShownItemSerializer, recommend.ShownItem),
        (serializers.RecommendationSerializer, recommend.Recommendation),
        (serializers.ItemEvidenceSerializer, evidence.ItemEvidence),
        (serializers.BecauseSerializer, evidence.Because),
        (serializers.PathSerializer, evidence.Path),
        (serializers.RefusalSerializer, intake.Refusal),
    ],
)
def test_the_description_is_that_of_the_answers(described: type, real: type) -> None:
    names = [field.name for field in dataclasses.fields(real)] if dataclasses.is_dataclass(real) else None
    assert set(described().fields) == set(names or real.__struct_fields__)  # type: ignore[attr-defined]
