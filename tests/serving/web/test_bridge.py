"""Each web request has an id of its own, in its log lines and in its answer."""

from collections.abc import Callable
from typing import Any

from graphstore.log_context import log_fields
from serving.web.bridge import Answer, call


def answer_to(environ: dict[str, Any]) -> tuple[Answer, dict[str, object]]:
    logged: dict[str, object] = {}

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        logged.update(log_fields())
        start("204 No Content", [("Server", "none")])
        return []

    return call(application, environ), logged


def test_the_id_in_the_log_is_that_of_the_answer_and_not_one_that_the_client_has_chosen() -> None:
    (first, logged), (second, _) = answer_to({"HTTP_X_REQUEST_ID": "forged"}), answer_to({})
    ids = [dict(answer.headers)["X-Request-ID"] for answer in (first, second)]
    assert logged == {"request_id": ids[0]}
    assert ids[0] != ids[1]
    assert all(len(one) == 16 and one.isalnum() for one in ids)
    assert dict(first.headers)["Server"] == "none"
    assert log_fields() == {}
