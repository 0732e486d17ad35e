import re

import pytest

from serving.web import parameters
from serving.web.answers import Refused


@pytest.mark.parametrize(("text", "k"), [(None, 20), ("1", 1), ("100", 100), ("007", 7)])
def test_a_number_of_items(text: str | None, k: int) -> None:
    assert parameters.item_count({} if text is None else {"k": text}) == k


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "1.5", "many", "٣", "9" * 5000])
def test_a_number_of_items_out_of_bounds(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parameters.item_count({"k": text})
    assert refused.value.field == "k"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("no", False), ("", False)])
def test_a_flag(text: str, value: bool) -> None:
    assert parameters.flag({"explain": text}, "explain") is value
    assert parameters.flag({}, "explain") is False


def test_a_flag_that_is_none() -> None:
    with pytest.raises(Refused):
        parameters.flag({"explain": "perhaps"}, "explain")


@pytest.mark.parametrize("value", ["", "x" * 129, "a\x00b"])
def test_an_id_out_of_bounds(value: str) -> None:
    with pytest.raises(Refused) as refused:
        parameters.identifier(value, "user_id")
    assert refused.value.field == "user_id"


def test_a_slot_is_optional_and_one_of_the_configured_names() -> None:
    assert parameters.slot({}, {"home"}) is None
    assert parameters.slot({"slot": "home"}, {"home"}) == "home"
    for made_up in ("", "[/nope]", "home2", "\x1b[31m"):
        with pytest.raises(Refused) as refused:
            parameters.slot({"slot": made_up}, {"home"})
        assert refused.value.field == "slot"


def test_an_id_in_a_path_may_hold_anything() -> None:
    assert re.fullmatch(parameters.IdConverter.regex, "a/b\nc ü")
