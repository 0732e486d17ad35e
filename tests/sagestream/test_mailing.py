"""From the lists of a file to a click in a mail that is credited to its slot."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from django.conf import LazySettings
from pydantic import SecretStr
from sqlalchemy import Engine, select

from graphstore.session import read
from graphstore.tables import attributions, impressions
from monitoring.attribution import attribute
from sagestream.mailing import Mailing, NoSecret, logging_to, open_mailing
from serving.client import EventType, landed
from serving.config import ServingConfig
from serving.web import signing, track
from stream import replay
from stream.config import StreamConfig
from stream.events import Impression, milliseconds
from stream.worker.sink import Sink
from tests.serving.web.test_server import impressions_of
from training.export.block_lists import Lists

LINKS = "https://shop.example/p/{item_id}"
CONFIG = ServingConfig(secret_key=SecretStr("a secret"))
LISTS = Lists(["ann", "bob", "new"], [["a", "b"], ["b"], []], [[2.0, 1.0], [0.5], []])


@pytest.fixture
def mailing() -> Mailing:
    return open_mailing(CONFIG, "m1", "s1", links=LINKS, slot="email", k=2)


def test_a_click_on_a_link_is_credited_to_the_slot(mailing: Mailing, sqlite_engine: Engine) -> None:
    sink = Sink(sqlite_engine, None)

    def log(events: Sequence[Impression]) -> None:
        replay.store(sink, events, now=lambda: milliseconds(mailing.now), report=lambda done: None)

    (sent,) = mailing.logged([LISTS], log)
    (again,) = mailing.logged([LISTS], log)  # the run was repeated
    assert sent == again and sent.links is not None and sent.request_ids is not None
    opened = landed(sent.links[0][1])
    assert opened is not None
    click = msgspec.structs.replace(opened, event_time=mailing.now + timedelta(hours=5))
    sink.store_interactions([click], now=milliseconds(click.event_time))
    attribute(sqlite_engine)
    with read(sqlite_engine) as connection:
        (credit,) = connection.execute(select(attributions)).all()
        rows = connection.execute(select(impressions)).all()
    assert (credit.request_id, credit.position, credit.matched_by) == (sent.request_ids[0], 1, "request")
    assert {(row.user_id, row.item_id, row.slot) for row in rows} == {
        ("ann", "a", "email"), ("ann", "b", "email"), ("bob", "b", "email"),
    }  # fmt: skip
    assert len(rows) == 3


def test_the_page_of_a_link_tells_its_click_at_the_web_server(mailing: Mailing, settings: LazySettings) -> None:
    settings.SERVING = CONFIG
    links = mailing.linked(LISTS).links
    assert links is not None
    click = landed(links[0][0])
    assert click is not None and click.request_id is not None
    assert signing.fits(click.request_id, "ann", key=signing.key_for(signing.REQUESTS))
    body = (
        f'{{"user_id": "{click.user_id}", "events": [{{"event_id": "1", "event_type": "click", "item_id": "a",'
        f'"request_id": "{click.request_id}", "position": {click.position}}}]}}'
    )
    found = track.read_message(body.encode(), open_types=frozenset(), now=mailing.now)
    assert [event.event_type for event in found.interactions] == [EventType.CLICK]


def test_lists_are_logged_before_they_are_written_and_empty_ones_never(mailing: Mailing) -> None:
    def refuse(events: Sequence[Impression]) -> None:
        assert [event.user_id for event in events] == ["ann", "bob"]
        raise ConnectionError("no broker")

    with pytest.raises(ConnectionError):
        next(mailing.logged([LISTS], refuse))


@pytest.mark.service
def test_lists_are_logged_in_kafka(
    mailing: Mailing, stream_config: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS", stream_config.kafka_bootstrap_servers)
    monkeypatch.setenv("SAGESTREAM_PRODUCER_IDEMPOTENT", str(stream_config.producer_idempotent).lower())
    with logging_to(direct=False) as log:
        (linked,) = mailing.logged([LISTS], log)
    assert linked.request_ids is not None
    logged = impressions_of(stream_config, set(linked.request_ids[:2]))
    assert {(one["user_id"], one["slot"], len(one["items"])) for one in logged} == {
        ("ann", "email", 2), ("bob", "email", 1),
    }  # fmt: skip


def test_ids_differ_by_run_and_shopper() -> None:
    ids = {
        request_id
        for snapshot, slot, k in (("s1", "email", 2), ("s2", "email", 2), ("s1", "push", 2), ("s1", "email", 3))
        for request_id in open_mailing(CONFIG, "m1", snapshot, links=LINKS, slot=slot, k=k).linked(LISTS).request_ids
        or ()
    }
    assert len(ids) == 12


def test_without_a_secret_there_are_no_links() -> None:
    with pytest.raises(NoSecret, match="SAGESTREAM_SECRET_KEY"):
        open_mailing(ServingConfig(), "m1", "s1", links=LINKS, slot="email", k=2)
