"""What a table of rules may say."""

import msgspec
import pytest

from serving.rules.rule_set import RuleSet


def read(table: dict[str, object]) -> RuleSet:
    return msgspec.convert(table, RuleSet)


def test_two_pins_never_have_one_position_or_one_item() -> None:
    with pytest.raises(msgspec.ValidationError, match="two pins have the position 3"):
        read({"pin": [{"item_id": "a", "position": 3}, {"item_id": "b", "position": 3}]})
    with pytest.raises(msgspec.ValidationError, match="two pins have the item 'a'"):
        read({"pin": [{"item_id": "a", "position": 3}, {"item_id": "a", "position": 4}]})
    assert len(read({"pin": [{"item_id": "a", "position": 3}, {"item_id": "b", "position": 4}]}).pin) == 2


@pytest.mark.parametrize(
    ("table", "where"),
    [
        ({"boosts": []}, "boosts"),
        ({"boost": [{"items": {}, "factor": 0}]}, r"boost\[0\].factor"),
        ({"per_brand": 0}, "per_brand"),
        ({"diversity": 1.5}, "diversity"),
        ({"only": {"price_min": 3, "price_max": 2}}, "only"),
        ({"quota": [{"items": {"colour": "red"}, "at_least": 1}]}, "colour"),
    ],
)
def test_an_error_names_the_key(table: dict[str, object], where: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=where):
        read(table)
