"""What the operator asks the monitor for."""

import pytest
from django.test import Client
from redis import Redis

from graphstore.redis import errands
from serving.web.dashboard.errands import TOLD
from tests.serving.web.dashboard.conftest import form_token
from tests.serving.web.dashboard.test_pages import now, plain, text_of

ASK = "/dashboard/errands/ask/"


def ask(client: Client, kind: str, subject: str, **fields: str):  # type: ignore[no-untyped-def]
    token = form_token(client, "/dashboard/errands/")
    return client.post(ASK, {"errand": kind, "subject": subject, "csrfmiddlewaretoken": token, **fields})


def test_a_page_asks_before_anything_is_done(operator: Client, redis: Redis) -> None:
    for kind in errands.KINDS:
        assert TOLD[kind].button in text_of(operator, f"{ASK}?errand={kind}&subject=a%3Cb%3E")
    assert errands.waiting(redis) == 0
    assert operator.get(f"{ASK}?errand=everything").status_code == 404


def test_an_errand_is_followed_from_its_form_to_its_result(operator: Client, redis: Redis) -> None:
    answer = ask(operator, "export", "ann")
    assert answer.status_code == 303
    path = answer["Location"]
    html = text_of(operator, path)
    assert "waiting" in html and 'data-refresh="2"' in html and f'hx-get="{path}"' in html
    raw = errands.first(redis)
    assert raw is not None
    errand = errands.decode(raw)
    assert (errand.kind, errand.subject, errand.who) == ("export", "ann", "dashboard")
    assert operator.get(f"{path}result/").status_code == 404
    errands.tell(redis, errand, errands.DONE, "12 <rows>", now=now(), result=b'{"rows": []}')
    html = text_of(operator, path)
    assert "12 &lt;rows&gt;" in html and "data-refresh" not in html
    result = operator.get(f"{path}result/")
    assert (result.content, result["Content-Type"]) == (b'{"rows": []}', "application/json")
    assert result["Content-Disposition"].startswith("attachment")
    listed = text_of(operator, "/dashboard/errands/")
    assert "Export a shopper" in listed and path in listed


def test_what_cannot_be_undone_wants_a_word_more(operator: Client, redis: Redis) -> None:
    answer = ask(operator, "forget", "ann")
    assert answer.status_code == 400 and "sure" in answer.content.decode()
    assert errands.waiting(redis) == 0
    assert ask(operator, "forget", "ann", sure="yes").status_code == 303
    assert errands.waiting(redis) == 1


@pytest.mark.parametrize("subject", ["", "x" * 600, "a\0b"])
def test_an_errand_that_is_not_allowed_is_told(operator: Client, redis: Redis, subject: str) -> None:
    answer = ask(operator, "export", subject)
    assert answer.status_code == 400 and "the subject of export" in plain(answer.content.decode())
    assert errands.waiting(redis) == 0


def test_an_unknown_errand_is_404(operator: Client) -> None:
    assert operator.get("/dashboard/errands/nothing/").status_code == 404
