import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from graphstore.errors import PortTaken
from stream.probe import FIRST_MODEL, OK, Probe, start_probe


@pytest.fixture
def needs() -> dict[str, str]:
    return {"redis": OK}


@pytest.fixture
def probe(needs: dict[str, str]) -> Iterator[Probe]:
    started = start_probe(0, lambda: needs)
    yield started
    started.close()


def fetch(probe: Probe, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{probe.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_alive_and_ready(probe: Probe, needs: dict[str, str]) -> None:
    assert fetch(probe, "/healthz") == (200, '{"status": "ok"}')
    assert fetch(probe, "/readyz") == (200, '{"redis": "ok"}')
    needs["redis"] = "gone"
    assert fetch(probe, "/healthz")[0] == 200
    status, body = fetch(probe, "/readyz")
    assert (status, json.loads(body)) == (503, {"redis": "gone"})


def test_a_process_without_progress_is_not_alive() -> None:
    hung = start_probe(0, dict, alive=lambda: "no progress for 130 s: storing")
    try:
        assert fetch(hung, "/healthz") == (503, '{"status": "no progress for 130 s: storing"}')
    finally:
        hung.close()


def test_what_is_only_told_decides_nothing() -> None:
    started = start_probe(0, lambda: {"redis": OK}, told=lambda: {"last success": "never"})
    try:
        assert fetch(started, "/readyz") == (200, '{"redis": "ok", "last success": "never"}')
    finally:
        started.close()


def test_metrics_and_nothing_else(probe: Probe) -> None:
    assert "python_info" in fetch(probe, "/metrics")[1]
    assert fetch(probe, "/secrets")[0] == 404


def test_a_taken_port_is_an_error(probe: Probe) -> None:
    with pytest.raises(PortTaken):
        start_probe(probe.port, dict)


def test_a_process_that_waits_for_the_first_model_is_ready(probe: Probe, needs: dict[str, str]) -> None:
    needs["model"] = FIRST_MODEL
    assert fetch(probe, "/readyz")[0] == 200
    needs["redis"] = "away"
    assert fetch(probe, "/readyz")[0] == 503


def test_it_is_bound_where_it_is_told() -> None:
    """127.0.0.2 is this machine too, and nobody listens there unless told."""
    elsewhere = start_probe(0, lambda: {}, host="127.0.0.2")
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{elsewhere.port}/healthz", timeout=5)
    with urlopen(f"http://127.0.0.2:{elsewhere.port}/healthz", timeout=5) as answer:
        assert answer.status == 200
    elsewhere.close()
