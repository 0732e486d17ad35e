"""What a table of rules may say."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from serving.rules.rule_set import RuleSet

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


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


def test_every_example_of_the_page_is_a_rule_set_and_every_key_has_one() -> None:
    tables = [slot["rules"] for example in EXAMPLES for slot in tomllib.loads(example).values()]
    assert {key for table in tables for key in table} == set(RuleSet.__struct_fields__)
    for table in tables:
        read(table)


def test_the_page_names_the_defaults() -> None:
    defaults = dict(
        re.findall(r"^(\w+) = (\S+) +# (?:default|0 \(default\))(?!: off)", "\n".join(EXAMPLES), re.MULTILINE)
    )
    rules = RuleSet()
    assert defaults.pop("diversity") == "0.3"  # the comment names the default itself
    assert {key: msgspec.json.decode(value) for key, value in defaults.items()} == {
        key: getattr(rules, key) for key in ("offer_cart", "repurchase", "per_product")
    }
