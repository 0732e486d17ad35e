"""The playground's own rules; `tests/test_loop.py` walks it whole."""

from pathlib import Path
from typing import cast

import pytest
from redis import Redis
from sqlalchemy import Engine

from graphstore.session import now_ms
from sagestream.playground import state
from sagestream.playground.run import dashboard_link, lock_directory
from sagestream.playground.services import Services
from sagestream.playground.state import StateInUse
from serving.web.dashboard.tokens import nonce_of, signing_key


def test_two_playgrounds_never_share_a_directory(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    first = lock_directory(directory)
    with pytest.raises(StateInUse, match="another playground runs"):
        lock_directory(directory)
    first.release()
    second = lock_directory(directory)
    second.release()


def test_starting_over_takes_the_new_directory(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path / "state")
    state.remove(tmp_path / "state")
    assert not (tmp_path / "state").exists()
    lock.release()
    lock_directory(tmp_path / "state").release()


def test_the_link_opens_the_dashboard_of_this_playground(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"admin_key": "made at the start"}
    services = Services("tansu", "", settings, engine=cast(Engine, None), redis=cast(Redis, None))
    for secret in ("", "of the shop"):
        monkeypatch.setenv("SAGESTREAM_SECRET_KEY", secret)
        token = dashboard_link(services).removeprefix("/dashboard/enter/#")
        assert nonce_of(signing_key("made at the start", secret), "link", token, now=now_ms())
        assert nonce_of(signing_key("another", secret), "link", token, now=now_ms()) is None


@pytest.mark.parametrize("keys", ["first,second", " first "])
def test_the_link_is_signed_by_the_first_of_several_keys(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.delenv("SAGESTREAM_SECRET_KEY", raising=False)
    services = Services("tansu", "", {"admin_key": keys}, engine=cast(Engine, None), redis=cast(Redis, None))
    token = dashboard_link(services).removeprefix("/dashboard/enter/#")
    assert nonce_of(signing_key("first"), "link", token, now=now_ms())
