"""Random requests, valid and invalid, from the OpenAPI description: no 500, and each answer as it is described."""

import os
import subprocess
import sys
import time
from pathlib import Path

import jsonschema_rs
import pytest
from django.test import Client
from redis import Redis

from serving.web import schema
from stream.config import StreamConfig
from tests.serving.toy import fill_redis
from tests.serving.web.test_server import KEY, serving
from tests.serving.web.test_views import event

EXAMPLES = 5
WAIT_SECONDS = 240
ROOT = Path(__file__).parents[3]
SHAPELESS = """
[[operations]]
include-path-regex = "^/events/.+/$"
[operations.checks]
positive_data_acceptance.expected-statuses = ["202", "400", "429", "503"]
"""
"""Messages of trackers have no schema here, theirs is in the trackers' documentation: some that fit are refused."""


@pytest.mark.slow
def test_random_requests_find_neither_a_500_nor_an_answer_that_is_not_described(
    redis: Redis, redis_url: str, stream_config: StreamConfig, tmp_path: Path
) -> None:
    fill_redis(redis, as_of=int(time.time() * 1000))
    (tmp_path / "schemathesis.toml").write_text(SHAPELESS)
    with serving(redis_url, stream_config) as server:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                *("run", f"http://127.0.0.1:{server.port}/api/schema/"),
                *("--checks", "all", "--max-examples", str(EXAMPLES), "--seed", "1", "--no-color"),
                *("--header", f"Authorization: Bearer {KEY}"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.serving.web.schema_hooks"}
            | {"DJANGO_SETTINGS_MODULE": "serving.web.settings", "SAGESTREAM_API_KEY": KEY},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 30" in done.stdout


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        (event(), True),
        ([event(), event(value=2.5, quantity=1, position=0, request_id="r")], True),
        ([], False),
        ([event()] * 4, False),
        (event(colour="red"), False),
        (event(user_id="a\0b"), False),
        (event(item_id="x" * 129), False),
        (event(event_type="stare"), False),
        (event(event_type="purchase", order_id="1007", currency="EUR"), True),
        (event(currency="euro"), False),
        (event(order_id=""), False),
    ],
)
def test_the_description_of_a_post_is_the_event_contract(body: object, valid: bool) -> None:
    assert jsonschema_rs.is_valid(schema.posted_events(3), body) is valid


def test_the_configured_slots_are_described(web: Client) -> None:
    described = web.get("/api/schema/").json()["paths"]["/recommendations/{user_id}/"]["get"]["parameters"]
    slot = next(parameter for parameter in described if parameter["name"] == "slot")
    assert slot["schema"]["enum"] == sorted(slot["schema"]["enum"])
    assert "home" in slot["schema"]["enum"]
