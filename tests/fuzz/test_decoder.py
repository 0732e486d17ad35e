"""The coverage-guided fuzzer: it runs for a moment here, and would find what it is made to find."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream import events
from tests.fuzz.conftest import HAS_FUZZER, NO_FUZZER

pytestmark = pytest.mark.skipif(not HAS_FUZZER, reason=NO_FUZZER)

SECONDS = 5


def fuzz(directory: Path, *options: str, code: str = "") -> subprocess.CompletedProcess[str]:
    """The fuzzer in a process of its own, `code` run before it."""
    program = f"from tests.fuzz import decoder\n{code}\ndecoder.main()"
    command = [sys.executable, "-W", "ignore", "-c", program, "--directory", str(directory), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_a_few_seconds_find_nothing(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "--seconds", str(SECONDS))
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs[1]) > 1000
    added = re.search(r"stat::new_units_added: +(\d+)", done.stderr)
    assert added is not None
    assert int(added[1]) > 50  # it is guided: what it finds new leads it on
    assert list(tmp_path.glob("crash-*")) == []


@pytest.mark.slow
def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """A decoder that chokes on a list in a field that it does not know: three steps away from every seed."""
    plant = """
right = decoder.events.decode
def wrong(raw, kind, **bounds):
    try:
        return right(raw, kind, **bounds)
    except decoder.events.InvalidEvent as error:
        if "got `array`" in str(error):
            raise KeyError("a fault of ours") from error
        raise
decoder.events.decode = wrong
"""
    done = fuzz(tmp_path, "--seconds", "60", code=plant)
    assert done.returncode != 0
    assert "a fault of ours" in done.stdout + done.stderr
    assert len(list(tmp_path.glob("crash-*"))) == 1


def test_what_nobody_can_hold_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fuzz import decoder

    seed = decoder.SEEDS[0]
    reached: list[int] = []
    decoder.check(b"\0" + events.encode(seed), reached.append)
    decoder.check(b"\0nonsense", reached.append)
    assert len(set(reached)) > 3
    for broken in ({"user_id": "a\0"}, {"value": float("inf")}, {"event_time": events.EARLIEST.replace(year=1900)}):
        event = msgspec.structs.replace(seed, **broken)

        def decode(*_: Any, event: Any = event, **__: Any) -> Any:
            return event

        monkeypatch.setattr(decoder.events, "decode", decode)
        with pytest.raises(decoder.Fault):
            decoder.check(b"\0{}", reached.append)
    altered = iter([seed, msgspec.structs.replace(seed, user_id="other")])
    monkeypatch.setattr(decoder.events, "decode", lambda *_, **__: next(altered))
    with pytest.raises(decoder.Fault, match="written and read"):
        decoder.check(b"\0{}", reached.append)


def test_every_kind_of_event_has_a_seed() -> None:
    from tests.fuzz import decoder
    from tests.fuzz.messages import KINDS

    assert set(decoder.KINDS) == set(KINDS)
