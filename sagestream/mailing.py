"""Mailing: gives the lists of a file request ids and links, and logs them, so that clicks in a mail are credited.

Arrives: blocks of lists for everybody (`training.export.block_lists`). Leaves: the same with an id for each list and a
link for each item; and an impression of each list, in Kafka or in the graph. Next: the shop's mail program sends the
links; `monitoring.attribution` credits a click that carries the id to the list and its slot.

A list is logged as shown when its links are written, since nobody tells us when a mail is opened: most mail programs
hide it. So only the lists of those who get the mail are written (`--users`). The id of a list depends on the snapshot,
the model, the slot, the length and the shopper. So a run that failed is repeated with the same ids, and each list
counts once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from graphstore.config import GraphstoreConfig
from graphstore.errors import UserError
from graphstore.session import now_ms
from sagestream.direct import open_sink
from serving.config import ServingConfig
from serving.links import Landing, linker
from serving.web import signing
from stream import replay
from stream.config import StreamConfig
from stream.events import Impression, ImpressionItem, utc
from stream.kafka.producer import EventProducer
from training.export.block_lists import Lists

MAX_ITEMS = 100
"""Items of a list with links: what a page may name as a position, see `serving.web.track`."""

VARIANT = "score"
"""No arm of an experiment, and not the champion's, which a probation compares: these lists are drawn for everybody."""
SOURCE = "batch"

Log = Callable[[Sequence[Impression]], object]


class NoSecret(UserError):
    """Links are signed with a secret that the web processes share, and none is set."""


@dataclass(frozen=True)
class Mailing:
    """What all lists of one run have in common."""

    model_version: str
    slot: str
    name: str
    """Of the run; runs with one name make the same ids."""
    link: Callable[[Landing], str]
    key: bytes
    now: datetime

    def logged(self, blocks: Iterable[Lists], log: Log) -> Iterator[Lists]:
        """Yield the lists with ids and links, each block after it is logged. Raises the errors of `log`."""
        for block in blocks:
            linked = self.linked(block)
            log(self.impressions(linked))
            yield linked

    def linked(self, lists: Lists) -> Lists:
        """Return the lists with an id for each and a link for each item."""
        ids = [signing.same_request_id(self.name, user_id, key=self.key) for user_id in lists.user_ids]
        links = [
            [self.link(Landing(user_id, item_id, request_id, position)) for position, item_id in enumerate(items)]
            for user_id, request_id, items in zip(lists.user_ids, ids, lists.item_ids, strict=True)
        ]
        return replace(lists, request_ids=ids, links=links)

    def impressions(self, lists: Lists) -> list[Impression]:
        """Return the event for each list that has an item."""
        assert lists.request_ids is not None
        rows = zip(lists.user_ids, lists.request_ids, lists.item_ids, lists.scores, strict=True)
        return [
            Impression(
                event_time=self.now,
                request_id=request_id,
                user_id=user_id,
                slot=self.slot,
                model_version=self.model_version,
                variant=VARIANT,
                items=[
                    ImpressionItem(item_id=item_id, position=position, score=score, propensity=1.0, source=SOURCE)
                    for position, (item_id, score) in enumerate(zip(items, scores, strict=True))
                ],
            )
            for user_id, request_id, items, scores in rows
            if items
        ]


def open_mailing(
    config: ServingConfig, model_version: str, snapshot_id: str, *, links: str, slot: str, k: int
) -> Mailing:
    """Return the mailing of a run, with links of this template. Raises `NoSecret`, and `ValueError` for the links."""
    secret = config.signing_secret
    if secret is None:
        raise NoSecret("links are signed: set SAGESTREAM_SECRET_KEY or SAGESTREAM_API_KEY as for `serve`")
    return Mailing(
        model_version=model_version,
        slot=slot,
        name=f"score {snapshot_id} {model_version} {k} {slot}",
        link=linker(links),
        key=signing.derived(secret, signing.REQUESTS),
        now=utc(now_ms()),
    )


@contextmanager
def logging_to(*, direct: bool) -> Iterator[Log]:
    """Open where the lists are logged: the graph in SQL and Redis (`direct`), or Kafka. Each call waits for its end."""
    if direct:
        with open_sink(GraphstoreConfig()) as sink:
            yield lambda events: replay.store(sink, events, now=now_ms, report=_unheard)
    else:
        with EventProducer(StreamConfig()) as producer:
            yield lambda events: replay.produce(producer, events, report=_unheard)


def _unheard(done: replay.Replayed) -> None:
    """The file has its own progress."""
