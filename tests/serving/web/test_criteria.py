"""Parameters of a query that say which items a list may hold."""

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.rules.criteria import MAX_NAMES, NO_CRITERIA, Criteria
from serving.web.answers import Refused
from serving.web.criteria import CRITERIA, only_known, read_criteria


def read(query: str) -> Criteria:
    return read_criteria(parse_qs(query, keep_blank_values=True))


def test_every_parameter() -> None:
    assert read(
        "category=Tea&category=Milk,+cheese&brand=Leaf&price_min=1.5&price_max=2&attribute.organic=true"
        "&attribute.roast=dark&attribute.roast=light&without=a&without=b&without_category=Old&without_brand=X&k=3"
    ) == Criteria(
        categories=("Tea", "Milk, cheese"),
        brands=("Leaf",),
        price_min=1.5,
        price_max=2.0,
        attributes={"organic": ("true",), "roast": ("dark", "light")},
        without_items=("a", "b"),
        without_categories=("Old",),
        without_brands=("X",),
    )


def test_a_query_without_criteria_is_free_of_charge() -> None:
    assert read("k=3&slot=home") is NO_CRITERIA


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("category=", "category"),
        ("brand=Leaf&brand=", "brand"),
        ("&".join(f"brand={number}" for number in range(MAX_NAMES + 1)), "brand"),
        ("category=" + "x" * 1025, "category"),
        ("category=a%00b", "category"),
        ("without=" + "x" * 129, "without"),
        ("without_category=", "without_category"),
        ("without_brand=", "without_brand"),
        ("price_min=", "price_min"),
        ("price_min=cheap", "price_min"),
        ("price_min=nan", "price_min"),
        ("price_max=inf", "price_max"),
        ("price_max=-1", "price_max"),
        ("price_max=1e10", "price_max"),
        ("price_max=٣", "price_max"),
        ("price_max=1_0", "price_max"),
        ("price_max=+1", "price_max"),
        ("price_max=1&price_max=2", "price_max"),
        ("price_min=3&price_max=2", "price_min"),
        ("attribute.=x", "attribute."),
        ("attribute.roast=", "attribute.roast"),
        ("&".join(f"attribute.a{number}=x" for number in range(17)), "attribute.a16"),
    ],
)
def test_a_malformed_value_is_refused_with_its_parameter(query: str, field: str) -> None:
    with pytest.raises(Refused) as refused:
        read(query)
    assert (refused.value.field, refused.value.status_code) == (field, 400)
    assert str(refused.value.detail)


def test_an_unknown_parameter_is_refused_with_what_there_is() -> None:
    allowed = CRITERIA | {"k"}
    only_known(["k", "category", "attribute.roast"], allowed)
    only_known([], ())
    for name in ("categories", "K", "attribute", "page"):
        with pytest.raises(Refused, match="without_category") as refused:
            only_known(["k", name], allowed)
        assert refused.value.field == name
    with pytest.raises(Refused, match="this address has k"):
        only_known(["attribute.roast"], {"k"})
    with pytest.raises(Refused, match="none"):
        only_known(["k"], ())


@given(st.dictionaries(st.one_of(st.sampled_from(sorted(CRITERIA)), st.text()), st.lists(st.text(), min_size=1)))
def test_any_query_is_read_or_refused_with_a_field_that_can_be_answered(query: dict[str, list[str]]) -> None:
    for check in (lambda: read_criteria(query), lambda: only_known(query, CRITERIA)):
        try:
            check()
        except Refused as refused:
            assert json.dumps({"field": refused.field, "detail": str(refused.detail)}).encode()
            assert len(refused.field) <= 40
