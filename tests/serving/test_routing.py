"""Routing: sticky arms, shares as asked, independent splits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.routing import (
    Arm,
    Exploration,
    MalformedRouting,
    Routing,
    Split,
    arm_of,
    check,
    decode,
    encode,
    position,
    probation,
)

SHOPPERS = [f"u{number}" for number in range(4_000)]


def test_without_splits_all_get_the_champion() -> None:
    given_ = Routing().assign("u1", "home", champion="m2")
    assert (given_.variant, given_.model_version) == ("champion", "m2")


def test_a_probation_keeps_its_share_with_the_previous_model() -> None:
    routing = Routing((probation("m1", 0.1, salt="p1"),))
    variants = [routing.assign(user, "home", champion="m2").variant for user in SHOPPERS]
    assert 0.08 < variants.count("previous") / len(SHOPPERS) < 0.12
    assert {routing.assign(user, None, champion="m2").model_version for user in SHOPPERS} == {"m1", "m2"}
    assert routing.versions() == {"m1"}


def test_an_experiment_holds_only_its_slot() -> None:
    arms = (Arm("control", 0.5), Arm("bold", 0.5, exploration=Exploration(temperature=0.5)))
    routing = Routing((Split("boldness", "s", arms, slot="home"),))
    assert {routing.assign(user, "cart", champion="m").variant for user in SHOPPERS} == {"champion"}
    shown = [routing.assign(user, "home", champion="m") for user in SHOPPERS]
    assert {each.variant for each in shown} == {"boldness/control", "boldness/bold"}
    assert {each.exploration.temperature for each in shown if each.variant == "boldness/bold"} == {0.5}


def test_two_splits_are_independent() -> None:
    """Of the shoppers in the first half of one split, half are in the first half of another."""
    first = [user for user in SHOPPERS if position("a", user) < 0.5]
    both = [user for user in first if position("b", user) < 0.5]
    assert 0.45 < len(both) / len(first) < 0.55


@given(st.text(max_size=60), st.text(max_size=100))
def test_a_position_is_sticky_and_below_one(salt: str, user: str) -> None:
    assert 0 <= position(salt, user) < 1
    assert position(salt, user) == position(salt, user)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.text(max_size=20))
def test_shares_that_fill_the_split_hold_everybody(weights: list[float], user: str) -> None:
    total = sum(weights) or 1.0
    arms = tuple(Arm(str(number), weight / total) for number, weight in enumerate(weights))
    inside = arm_of(Split("x", "salt", arms), user)
    assert (inside is not None) or sum(arm.share for arm in arms) <= position("salt", user)


def test_it_survives_redis() -> None:
    routing = Routing((probation("m1", 0.1, salt="p1"), Split("e", "s", (Arm("a", 1.0),), slot="home")))
    assert decode(encode(routing)) == routing
    assert decode(None) == Routing()


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"splits": [{"name": 1}]}', b"\xff"])
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedRouting, match="holds no routing"):
        decode(raw)


@pytest.mark.parametrize(
    "splits",
    [
        (Split("a", "s", (Arm("x", 0.6), Arm("y", 0.6))),),
        (Split("a", "s", ()),),
        (Split("a", "s", (Arm("x", 1.0),)), Split("a", "t", (Arm("x", 1.0),))),
    ],
)
def test_impossible_splits(splits: tuple[Split, ...]) -> None:
    with pytest.raises(ValueError, match=r"name|shares"):
        check(splits)
