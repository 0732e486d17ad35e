"""A body is read, or its wrong field is named by its path."""

import msgspec
import pytest

from serving.rules.criteria import Criteria
from serving.web.answers import Refused
from serving.web.json_body import read_body


class Posted(msgspec.Struct, forbid_unknown_fields=True):
    user_id: str
    criteria: Criteria = Criteria()
    slots: list[Criteria] = []


READ = msgspec.json.Decoder(Posted)


def test_a_body_is_read() -> None:
    posted = read_body(b'{"user_id": "a", "criteria": {"brands": ["Leaf"], "price_max": 3}}', READ)
    assert posted == Posted("a", Criteria(brands=("Leaf",), price_max=3.0))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"user_id": 3}', "user_id"),
        (b'{"user_id": "a", "k": 3}', "k"),
        (b"{}", "user_id"),
        (b'{"user_id": "a", "criteria": {"colour": "red"}}', "criteria.colour"),
        (b'{"user_id": "a", "criteria": {"price_min": -1}}', "criteria.price_min"),
        (b'{"user_id": "a", "criteria": {"price_min": 3, "price_max": 2}}', "criteria"),
        (b'{"user_id": "a", "slots": [{}, {"brands": [""]}]}', "slots[1].brands[0]"),
        (b'{"user_id": "a", "criteria": {"attributes": {"": ["x"]}}}', "criteria.attributes"),
        (b"[]", ""),
        (b"", ""),
        (b'{"user_id": "\xff"}', ""),
        (b"[" * 100_000, ""),
    ],
)
def test_a_mistake_is_refused_with_its_field(body: bytes, field: str) -> None:
    with pytest.raises(Refused) as refused:
        read_body(body, READ)
    assert refused.value.field == field
    assert str(refused.value.detail)
