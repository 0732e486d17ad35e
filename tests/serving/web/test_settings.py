import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "torch_geometric", "faust", "sqlalchemy", "pandas", "evidently"}


def loaded(**environment: str) -> dict[str, object]:
    """What a fresh web process has after its application is made, with nothing to connect to."""
    code = (
        "import json, sys; import serving.web.wsgi, serving.web.urls; from django.conf import settings;"
        "print(json.dumps({'modules': sorted({m.split('.')[0] for m in sys.modules}), 'debug': settings.DEBUG,"
        "'secret': settings.SECRET_KEY, 'hosts': settings.ALLOWED_HOSTS, 'databases': len(settings.DATABASES)}))"
    )
    away = {"SAGESTREAM_REDIS_URL": "redis://127.0.0.1:1/0", "SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        env={**os.environ, **away, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_web_process_is_light_and_starts_without_services() -> None:
    found = loaded()
    assert not HEAVY & set(found["modules"])  # type: ignore[call-overload]
    assert (found["debug"], found["hosts"]) == (False, ["127.0.0.1", "localhost", "[::1]"])


@pytest.mark.slow
def test_the_signing_key_is_given_or_new_at_each_start() -> None:
    assert loaded(SAGESTREAM_SECRET_KEY="given")["secret"] == "given"
    first, second = loaded()["secret"], loaded()["secret"]
    assert first != second
    assert len(str(first)) >= 50
