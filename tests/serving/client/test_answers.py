"""The answers have the fields that the server describes, no more and no less."""

from typing import Any

import pytest
from rest_framework.serializers import Serializer

from serving.client import answers
from serving.web import serializers
from serving.web.data import described

PAIRS: list[tuple[type[answers.Answer], type[Serializer[Any]]]] = [
    (answers.Because, serializers.BecauseSerializer),
    (answers.ItemPath, serializers.PathSerializer),
    (answers.Evidence, serializers.ItemEvidenceSerializer),
    (answers.ShownItem, serializers.ShownItemSerializer),
    (answers.Recommendation, serializers.RecommendationSerializer),
    (answers.Lists, serializers.ListsSerializer),
    (answers.Category, serializers.CategorySerializer),
    (answers.Categories, serializers.CategoriesSerializer),
    (answers.RefusedPart, serializers.RefusalSerializer),
    (answers.Taken, serializers.TranslatedSerializer),
    (answers.SeenCount, serializers.SeenSerializer),
    (answers.KnownItem, described.ItemSerializer),
    (answers.RecentItem, described.RecentItemSerializer),
    (answers.KnownUser, described.KnownUserSerializer),
    (answers.Token, described.TokenSerializer),
    (answers.Errand, described.ErrandSerializer),
    (answers.Asked, serializers.AskedSerializer),
]


@pytest.mark.parametrize(("answer", "described"), PAIRS, ids=[one.__name__ for one, _ in PAIRS])
def test_an_answer_has_the_fields_of_the_description(
    answer: type[answers.Answer], described: type[Serializer[Any]]
) -> None:
    assert set(answer.__struct_fields__) == set(described().fields)


def test_every_answer_is_compared() -> None:
    ours = {one for one in vars(answers).values() if isinstance(one, type) and issubclass(one, answers.Answer)}
    assert ours - {answers.Answer, answers.Problem} == {one for one, _ in PAIRS}
