from prometheus_client import REGISTRY

from stream.worker.topic_status import SLOW_MS, TopicStatus


def test_the_word_of_each_topic() -> None:
    clock = [1_000_000]
    standing = TopicStatus(["a", "b"], lambda: clock[0])
    assert standing.words() == {"a": "ok", "b": "ok"}
    standing.begin("a")
    standing.do("a", "storing")
    clock[0] += SLOW_MS - 1
    assert standing.words()["a"] == "ok"
    clock[0] += 2_001
    assert standing.words() == {"a": "storing a batch for 7 s", "b": "ok"}
    standing.wait("a", "database", "connection refused")
    clock[0] += 5_000
    assert standing.words()["a"] == "database: waiting 12 s: connection refused"
    standing.go_on("a")
    standing.end("a")
    assert standing.words()["a"] == "ok"
    standing.stop("b", "73 % of the last 1,000 messages are bad")
    assert standing.words() == {"a": "ok", "b": "73 % of the last 1,000 messages are bad"}
    standing.resume("b")
    assert standing.words() == {"a": "ok", "b": "ok"}


def test_a_service_that_is_away_is_told_at_once() -> None:
    standing = TopicStatus(["a"], lambda: 5)
    standing.begin("a")
    standing.wait("a", "redis", "refused")
    assert standing.words() == {"a": "redis: waiting 0 s: refused"}


def test_the_gauges() -> None:
    def gauge(name: str, topic: str) -> float | None:
        return REGISTRY.get_sample_value(f"sagestream_worker_{name}", {"topic": topic})

    standing = TopicStatus(["c", "d"], lambda: 0)
    assert (gauge("waiting", "c"), gauge("stopped", "d")) == (0, 0)
    standing.wait("c", "kafka", "away")
    standing.stop("d", "bad")
    assert (gauge("waiting", "c"), gauge("waiting", "d")) == (1, 0)
    assert (gauge("stopped", "c"), gauge("stopped", "d")) == (0, 1)
    standing.go_on("c")
    standing.resume("d")
    assert (gauge("waiting", "c"), gauge("stopped", "d")) == (0, 0)
