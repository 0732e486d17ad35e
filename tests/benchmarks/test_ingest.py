"""The benchmark runs, as it is called, and leaves the keys that others read."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.service, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CONTENDERS = {
    "faust_empty",
    "aiokafka_empty",
    "aiokafka_sqlite",
    "faust_sqlite",
    "faust_postgresql",
    "direct_sqlite",
    "direct_postgresql",
}


def run(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/ingest.py", "--json", str(output), "--broker", "embedded", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def figures(output: Path, *parts: str) -> dict[str, Any]:
    done = run(output, "--quick", "--only", *parts)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(output.read_text())
    assert found["events_per_cpu_second"].keys() == CONTENDERS
    assert "| faust_sqlite to faust_empty |" in done.stdout
    return found


def test_contenders_drain_the_same_backlog(tmp_path: Path) -> None:
    found = figures(tmp_path / "out.json", "drain")
    assert found["broker"] == "embedded"
    rates = found["events_per_cpu_second"]
    assert all(rates[name] > 0 for name in CONTENDERS if not name.startswith("direct"))
    assert rates["direct_sqlite"] is None
    assert found["two_workers_ratio"] > 0
    assert found["producer_events_per_cpu_second"] > 0
    assert found["peak_rss_mb"] > 0
    assert found["cost_ratio_10m_to_100k"] is found["visible_ms"] is None


def test_the_direct_path_and_its_growth(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = figures(tmp_path / "out.json", "direct", "growth", "--cache", str(cache))
    assert found["events_per_cpu_second"]["direct_sqlite"] > 0
    assert found["events_per_cpu_second"]["direct_postgresql"] > 0
    assert found["cost_ratio_10m_to_100k"] == max(grown["cost_ratio"] for grown in found["growth"].values())
    assert found["growth"]["sqlite"]["resident_mb"].keys() == {"1,000", "5,000", "10,000"}
    (kept,) = cache.glob("filled_*.sqlite.json")
    assert json.loads(kept.read_text())["begun"] > 10_000


def test_events_are_followed_into_redis(tmp_path: Path) -> None:
    found = figures(tmp_path / "out.json", "visible")
    assert 0 < found["visible_ms"]["p50"] <= found["visible_ms"]["p99"]
    assert found["bounds"]["visible p99 ms, embedded"]["met"] is not None


@pytest.mark.parametrize(
    "arguments", [("--only", "nothing"), ("--events", "0"), ("--visible-seconds", "5"), ("--broker", "none")]
)
def test_nonsense_is_refused(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path / "out.json", *arguments)
    assert done.returncode == 2
    assert "usage" in done.stderr
