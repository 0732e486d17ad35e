"""One delivery: its body, its signature, and receivers that fail."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from monitoring.alarms import webhook
from monitoring.alarms.lasting import Alarm
from monitoring.alarms.webhook import NotDelivered, Webhook
from tests.monitoring.alarms.receiver import receiving

SECRET = "a secret of this test"
ALARM = Alarm(7, "tracking_outage", 1_700_000_000_123, None, "clicks have vanished", {"since": 5})


def test_the_receiver_can_check_who_sent_what_and_when():
    with receiving() as receiver:
        Webhook(receiver.url, SECRET).deliver(ALARM, now=1_700_000_060_999)
    ((path, headers, body),) = receiver.got
    assert path == "/alarms?token=x"
    stamp, _, given = headers["Sagestream-Signature"].partition(",v1=")
    assert stamp == "t=1700000060"
    assert given == hmac.new(SECRET.encode(), b"1700000060." + body, hashlib.sha256).hexdigest()
    assert json.loads(body) == {
        "id": "tracking_outage-1700000000123-started",
        "alarm": "tracking_outage",
        "state": "started",
        "text": "clicks have vanished",
        "started_at": "2023-11-14T22:13:20.123Z",
        "ended_at": None,
        "figures": {"since": 5},
    }


def test_the_receiver_of_the_docs_knows_genuine_alarms():
    page = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
    (source,) = re.findall(r"```python\n(import hashlib\n.*?)```", page, re.DOTALL)
    example = {"__name__": "example"}
    exec(source, example)
    example["SECRET"] = SECRET.encode()
    body = webhook.body_of(ALARM)
    header = webhook.signature(SECRET, body, seconds=1_000)
    assert example["is_genuine"](header, body, 1_200.0)
    assert not example["is_genuine"](header, body, 1_301.0)
    assert not example["is_genuine"](header.replace("t=1000", "t=1200"), body, 1_200.0)
    assert not example["is_genuine"](header, body + b" ", 1_200.0)
    assert not any(example["is_genuine"](wrong, body, 1_200.0) for wrong in ("", "t=,v1=", "t=1000", "t=1000,v1=ä"))


@pytest.mark.parametrize("status", [302, 400, 500])
def test_only_success_is_a_delivery_and_redirects_are_not_followed(status):
    with receiving() as receiver:
        receiver.status = status
        with pytest.raises(NotDelivered, match=f"answered with {status}"):
            Webhook(receiver.url, SECRET).deliver(ALARM, now=0)
    assert len(receiver.got) == 1


def test_a_receiver_that_is_not_there_is_told_without_the_url():
    with receiving() as receiver:
        url = receiver.url
    with pytest.raises(NotDelivered, match="cannot be reached") as told:
        Webhook(url, SECRET).deliver(ALARM, now=0)
    assert "token" not in str(told.value)


def test_an_answer_without_an_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(webhook, "TOTAL_SECONDS", 0.1)
    with receiving() as receiver:
        receiver.slowly = True
        with pytest.raises(NotDelivered):
            Webhook(receiver.url, SECRET).deliver(ALARM, now=0)
