"""Where each topic stands: at work, waiting for a service, or stopped; for the probe and the metrics.

Arrives: the agents' word about what they do. Leaves: one word a topic, "ok" or what holds it up. Next: `stream.probe`,
which asks from a thread of its own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import Gauge

from stream.probe import OK

WAITING = Gauge("sagestream_worker_waiting", "1 while a batch of the topic waits for a service", ["topic"])
STOPPED = Gauge("sagestream_worker_stopped", "1 while the topic is not consumed for its bad input", ["topic"])

SLOW_MS = 5_000
"""A batch under way for longer than this is told: a service may hang without an error."""


@dataclass
class _Topic:
    since: int | None = None  # epoch ms at which the batch in hand was begun
    doing: str = ""
    service: str = ""
    error: str = ""
    stopped: str = ""


class TopicStatus:
    """Written by the worker's agents, one a topic; read by other threads. `now` is epoch ms."""

    def __init__(self, topics: Iterable[str], now: Callable[[], int]) -> None:
        self._now = now
        self._topics = {topic: _Topic() for topic in topics}
        for topic in self._topics:
            WAITING.labels(topic).set(0)
            STOPPED.labels(topic).set(0)

    def begin(self, topic: str) -> None:
        """A batch is in hand."""
        self._topics[topic].since = self._now()

    def end(self, topic: str) -> None:
        """The batch is through."""
        self._topics[topic].since = None

    def do(self, topic: str, doing: str) -> None:
        """The step that the batch in hand is at."""
        self._topics[topic].doing = doing

    def wait(self, topic: str, service: str, error: str) -> None:
        """The batch in hand waits for `service`."""
        self._topics[topic].service, self._topics[topic].error = service, error
        WAITING.labels(topic).set(1)

    def go_on(self, topic: str) -> None:
        """What it waited for is there again."""
        self._topics[topic].service = ""
        WAITING.labels(topic).set(0)

    def stop(self, topic: str, reason: str) -> None:
        """The topic is not consumed any more."""
        self._topics[topic].stopped = reason
        STOPPED.labels(topic).set(1)

    def words(self) -> dict[str, str]:
        """By topic, "ok" or what holds it up."""
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
