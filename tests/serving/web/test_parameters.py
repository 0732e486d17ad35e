import re

import pytest
from django.http import QueryDict

from serving.slots.defaults import PLAIN
from serving.slots.slot import Slot
from serving.web import parameters
from serving.web.answers import Refused


@pytest.mark.parametrize(("text", "k"), [(None, 20), ("1", 1), ("100", 100), ("007", 7)])
def test_a_number_of_items(text: str | None, k: int) -> None:
    assert parameters.number({} if text is None else {"k": text}, "k", parameters.DEFAULT_ITEMS) == k


@pytest.mark.parametrize("text", ["", "0", "101", "-1", "1.5", "many", "٣", "9" * 5000])
def test_a_number_of_items_out_of_bounds(text: str) -> None:
    with pytest.raises(Refused) as refused:
        parameters.number({"k": text}, "k", parameters.DEFAULT_ITEMS)
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
    home = Slot(length=3)
    assert parameters.slot({}, {"home": home}) == (None, PLAIN)
    assert parameters.slot({"slot": "home"}, {"home": home}) == ("home", home)
    for made_up in ("", "[/nope]", "home2", "\x1b[31m"):
        with pytest.raises(Refused) as refused:
            parameters.slot({"slot": made_up}, {"home": home})
        assert refused.value.field == "slot"


def test_ids_may_be_repeated_up_to_a_bound() -> None:
    assert parameters.ids(QueryDict("item=a&item=b%2Cc"), "item") == ("a", "b,c")
    assert parameters.ids(QueryDict(""), "item") == ()
    for wrong in ("item=", "item=" + "x" * 129, "&".join(["item=a"] * (parameters.MAX_IDS + 1))):
        with pytest.raises(Refused) as refused:
            parameters.ids(QueryDict(wrong), "item")
        assert refused.value.field == "item"


@pytest.mark.parametrize("value", ["", "x" * 1025, "a\x00b", "\ud800"])
def test_a_name_out_of_bounds(value: str) -> None:
    with pytest.raises(Refused):
        parameters.name(value, "category")
    assert parameters.name("Dairy, eggs", "category") == "Dairy, eggs"


def test_one_of_a_few_words() -> None:
    assert parameters.one_of({}, "window", ("1h", "24h")) == ""
    assert parameters.one_of({"window": "1h"}, "window", ("1h", "24h")) == "1h"
    with pytest.raises(Refused):
        parameters.one_of({"window": ""}, "window", ("1h", "24h"))


def test_an_id_in_a_path_may_hold_anything() -> None:
    assert re.fullmatch(parameters.IdConverter.regex, "a/b\nc ü")
