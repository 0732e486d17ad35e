import json

import pytest
from django.test import Client, RequestFactory
from redis.exceptions import ConnectionError as RedisConnectionError

from serving import recommend
from serving.recommend import NothingPublished, UnknownItem
from serving.web.answers import Refused, TooLarge, refuse, server_error
from serving.web.outbox import NotDelivered


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("k", "too many"), 400),
        (TooLarge("much"), 413),
        (UnknownItem("no item"), 404),
        (NothingPublished("nothing"), 503),
        (NotDelivered("Kafka"), 503),
        (RedisConnectionError("refused"), 503),
    ],
)
def test_each_foreseen_error_is_an_answer_with_its_reason(error: Exception, status: int) -> None:
    answer = refuse(error, {})
    assert answer is not None
    assert answer.status_code == status
    assert answer.data["detail"]


def test_an_unforeseen_error_stays_one() -> None:
    assert refuse(RuntimeError("a fault of ours"), {}) is None


def test_a_fault_of_ours_is_500_without_particulars(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the particulars")

    monkeypatch.setattr(recommend, "serve", fail)
    web.raise_request_exception = False
    answer = web.get("/recommendations/ann/")
    assert (answer.status_code, answer.json()) == (500, {"detail": "internal error"})
    assert json.loads(server_error(RequestFactory().get("/")).content) == {"detail": "internal error"}
