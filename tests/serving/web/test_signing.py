"""Request ids: ours are known again, and nothing else is."""

import pytest
from django.conf import LazySettings
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from serving.config import ServingConfig
from serving.web import signing
from stream.events import id_problem

KEY = b"k" * 32
IDS = st.text(min_size=1, max_size=20)


@given(IDS, IDS)
def test_an_id_fits_the_shopper_of_its_list_alone(user_id: str, other: str) -> None:
    request_id = signing.new_request_id(user_id, key=KEY)
    assert id_problem(request_id) is None
    assert len(request_id) == 45
    assert signing.fits(request_id, user_id, key=KEY)
    assert signing.fits(request_id, other, key=KEY) is (other == user_id)
    assert not signing.fits(request_id, user_id, key=b"another key")


def test_no_two_lists_have_one_id() -> None:
    assert len({signing.new_request_id("ann", key=KEY) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("place", range(45))
def test_an_id_with_another_character_fits_nobody(place: int) -> None:
    request_id = signing.new_request_id("ann", key=KEY)
    other = "A" if request_id[place] != "A" else "B"
    assert not signing.fits(request_id[:place] + other + request_id[place + 1 :], "ann", key=KEY)


@pytest.mark.parametrize("forged", ["", ".", "r1", "x" * 128, "ü.ü", "a.b.c", "5f0c8a52-0b6e-4a0e-9f4e-0d9f3d2f1a11"])
def test_what_we_did_not_make_fits_nobody(forged: str) -> None:
    assert not signing.fits(forged, "ann", key=KEY)


def test_web_processes_with_the_same_settings_know_each_others_ids(settings: LazySettings) -> None:
    keys = set()
    for given_keys in ({"secret_key": "s"}, {"api_key": "a"}, {"secret_key": "s", "api_key": "a"}, {}):
        settings.SERVING = ServingConfig(**{name: SecretStr(value) for name, value in given_keys.items()})
        keys.add(signing.key_for(signing.REQUESTS))
        assert signing.key_for(signing.REQUESTS) != signing.key_for(signing.ADDRESSES)
    assert len(keys) == 3  # the secret key counts before the API key
    settings.SECRET_KEY = "of another start"
    assert signing.key_for(signing.REQUESTS) not in keys


def test_the_same_name_gives_the_same_id_and_it_fits_its_shopper_alone() -> None:
    made = signing.same_request_id("score s1 m1", "ann", key=KEY)
    assert made == signing.same_request_id("score s1 m1", "ann", key=KEY)
    assert signing.fits(made, "ann", key=KEY) and not signing.fits(made, "bob", key=KEY)
    others = [("score s1 m2", "ann", KEY), ("score s1 m1", "bob", KEY), ("score s1 m1", "ann", b"another" * 5)]
    assert made not in [signing.same_request_id(name, user, key=key) for name, user, key in others]
    assert len(made) == len(signing.new_request_id("ann", key=KEY))
