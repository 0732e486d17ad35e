"""Topic hold: one batch of a topic waits while too many of its messages are bad, and then goes on by itself.

Arrives: the bad messages of the current batch. Leaves: nothing, after a wait where `stream.worker.dlq_limit` asks for
it. Next: `stream.worker.worker` takes the batch, and its bad messages become dead letters.

The hold shows itself in `/readyz`, in `sagestream doctor`, in the metrics and in the log. Other topics continue.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from aiokafka.structs import ConsumerRecord

from stream import events
from stream.dlq.dead_letters import Bad
from stream.kafka.topics import PRODUCER_HEADER
from stream.worker.dlq_limit import BadMessage, DlqLimit, Excess
from stream.worker.topic_status import TopicStatus

logger = logging.getLogger(__name__)

LOG_SECONDS = 60.0
"""A held topic is logged again after this time."""


class TopicHold:
    """The hold of one batch, which waits at most once. `now` returns epoch ms."""

    def __init__(
        self,
        topic: str,
        records: Sequence[ConsumerRecord],
        limit: DlqLimit,
        now: Callable[[], int],
        standing: TopicStatus,
    ) -> None:
        self.topic = topic
        self._records = records
        self._limit = limit
        self._now = now
        self._standing = standing
        self._held = False

    async def wait_if_too_bad(self, bad: Sequence[Bad]) -> None:
        """Wait, without an acknowledgement of the batch, when the bad messages (in order) are too many."""
        if self._held:
            return
        excess = self._limit.excess(len(self._records), _messages(bad), now=self._now())
        if excess is not None:
            await self._wait(self._reason(excess, bad))

    def add(self, bad: Sequence[Bad]) -> None:
        """Add the batch to the limit. A batch that was held is not added, so that the next ones are judged alone."""
        if not self._held:
            self._limit.add(len(self._records), _messages(bad), now=self._now())

    def _reason(self, excess: Excess, bad: Sequence[Bad]) -> str:
        at = self._records[excess.at]
        last = max((one for one in bad if one.batch_index <= excess.at), default=None)
        return (
            f"{100 * excess.share:.3g} % of the last {excess.seen:,} messages are bad, stopped at partition "
            f"{at.partition} offset {at.offset}: {last.reason if last else 'as before'}"
        )

    async def _wait(self, reason: str) -> None:
        self._held = True
        seconds = self._limit.hold(now=self._now())
        goes_on = events.utc(self._now() + int(seconds * 1000)).isoformat(" ", "seconds")
        self._standing.stop(self.topic, f"{reason}; goes on by itself at {goes_on}")
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            logger.error("%s is not consumed until %s: %s", self.topic, goes_on, reason)
            await asyncio.sleep(min(left, LOG_SECONDS))
        self._standing.resume(self.topic)
        logger.warning("%s is consumed again; the bad messages of this batch become dead letters", self.topic)


def _messages(bad: Sequence[Bad]) -> list[BadMessage]:
    return [BadMessage(one.batch_index, _sender(one), _producer(one.record)) for one in bad]


def _sender(one: Bad) -> bytes | None:
    """Return the key. An unreadable batch shows no key, and each one counts."""
    record = one.record
    return b"%d@%d" % (record.partition, record.offset) if one.kind == "unreadable" else record.key


def _producer(record: ConsumerRecord) -> bytes | None:
    """Return the name that the producer gave itself; None without the header."""
    return next((value for name, value in record.headers or () if name == PRODUCER_HEADER), None)
