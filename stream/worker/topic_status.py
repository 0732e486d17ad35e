"""Topic status: whether each topic is processed, waits for a service, or is stopped; for the probe and the metrics.

Arrives: reports of the agents about their current step. Leaves: one text for each topic, "ok" or the reason of the
delay. Next: `stream.probe`, which reads it in its own thread.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Gauge

from stream.probe import OK

WAITING = Gauge("sagestream_worker_waiting", "1 while a batch of the topic waits for a service", ["topic"])
STOPPED = Gauge("sagestream_worker_stopped", "1 while the topic is not consumed for its bad input", ["topic"])

SLOW_MS = 5_000
"""A batch that takes longer than this is reported, because a service may hang without an error."""


@dataclass
class _Topic:
    since: int | None = None  # start of the current batch, epoch ms
    doing: str = ""
    service: str = ""
    error: str = ""
    stopped: str = ""


class TopicStatus:
    """The status of all topics. The agents write it, other threads read it. `now` returns epoch ms."""

    def __init__(self, topics: Iterable[str], now: Callable[[], int]) -> None:
        self._now = now
        self._topics = {topic: _Topic() for topic in topics}
        for topic in self._topics:
            WAITING.labels(topic).set(0)
            STOPPED.labels(topic).set(0)

    def begin(self, topic: str) -> None:
        """A batch starts."""
        self._topics[topic].since = self._now()

    def end(self, topic: str) -> None:
        """The batch is finished."""
        self._topics[topic].since = None

    def do(self, topic: str, doing: str) -> None:
        """The current batch is at this step."""
        self._topics[topic].doing = doing

    def wait(self, topic: str, service: str, error: str) -> None:
        """The current batch waits for `service`."""
        self._topics[topic].service, self._topics[topic].error = service, error
        WAITING.labels(topic).set(1)

    def go_on(self, topic: str) -> None:
        """The service is reachable again."""
        self._topics[topic].service = ""
        WAITING.labels(topic).set(0)

    def stop(self, topic: str, reason: str) -> None:
        """The topic is not consumed for now because of `reason`."""
        self._topics[topic].stopped = reason
        STOPPED.labels(topic).set(1)

    def resume(self, topic: str) -> None:
        """The topic is consumed again."""
        self._topics[topic].stopped = ""
        STOPPED.labels(topic).set(0)

    def words(self) -> dict[str, str]:
        """Return, by topic, "ok" or the reason of the delay."""
        return {name: self._word(topic) for name, topic in self._topics.items()}

    def _word(self, topic: _Topic) -> str:
        if topic.stopped:
            return topic.stopped
        passed = self._now() - topic.since if topic.since is not None else 0
        if topic.service:
            return f"{topic.service}: waiting {passed // 1000} s: {topic.error}"
        if passed >= SLOW_MS:
            return f"{topic.doing} a batch for {passed // 1000} s"
        return OK
