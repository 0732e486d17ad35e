"""Child processes: started, watched, restarted, stopped in order, and never left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sagestream.playground.processes import HUNG_SECONDS, Child, ProcessFailed, Supervisor
from tests.waiting import wait_until

pytestmark = pytest.mark.kill


SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def child(tmp_path: Path, code: str, name: str = "child", tier: int = 0) -> Child:
    made = Child(name, [sys.executable, "-c", code], tmp_path / f"{name}.log", tier=tier)
    made.start()
    return made


def up(made: Child) -> None:
    made.wait_ready(lambda: "up" in made.tail(), 30)


def test_a_child_starts_is_ready_and_stops(tmp_path: Path) -> None:
    made = child(tmp_path, SLEEPER)
    up(made)
    assert made.alive
    assert made.stop()
    assert not made.alive
    assert made.stop()  # again: nothing to do


def test_one_that_ends_while_starting_tells_its_log(tmp_path: Path) -> None:
    made = child(tmp_path, "raise SystemExit('no such thing')")
    with pytest.raises(ProcessFailed, match="no such thing"):
        made.wait_ready(lambda: False, 30)


def test_one_that_never_gets_ready_is_told(tmp_path: Path) -> None:
    made = child(tmp_path, SLEEPER)
    with pytest.raises(ProcessFailed, match=r"not ready after 0\.1 s"):
        made.wait_ready(lambda: False, 0.1)
    made.stop()


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    made = child(tmp_path, STUBBORN)
    up(made)
    assert not made.stop(timeout_seconds=0.3)
    assert not made.alive


def test_the_supervisor_restarts_what_died_and_stops_the_upper_tier_first(tmp_path: Path) -> None:
    note = "import signal, sys, time, pathlib\n" + (
        "def leave(*_):\n    pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2])\n    sys.exit()\n"
        "signal.signal(signal.SIGTERM, leave)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    supervisor = Supervisor()
    order = tmp_path / "order"
    for name, tier in (("a", 0), ("b", 1)):
        command = [sys.executable, "-c", note, str(order), name]
        up(supervisor.start(Child(name, command, tmp_path / f"{name}.log", tier=tier)))
    assert supervisor.restart_dead() == []
    victim = supervisor.children[1]
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    victim.log.unlink()
    psutil.Process(victim.pid).wait(timeout=10) if victim.pid else None
    assert [dead.name for dead in supervisor.restart_dead()] == ["b"]
    assert victim.restarts == 1
    up(victim)
    assert supervisor.stop() == []
    assert order.read_text() == "ba"


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_one_that_held_all_in_memory_is_not_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor()
    made = supervisor.start(Child("c", [sys.executable, "-c", "pass"], tmp_path / "c.log", restartable=False))
    wait_until(lambda: not made.alive)
    with pytest.raises(ProcessFailed, match="held in memory"):
        supervisor.restart_dead()
    supervisor.stop()


def test_what_a_killed_child_had_started_is_killed_too(tmp_path: Path) -> None:
    grandchild = "import time; print('grand', flush=True); time.sleep(60)"
    code = (
        "import signal, subprocess, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"p = subprocess.Popen([sys.executable, '-c', {grandchild!r}])\nprint('pid', p.pid, 'up', flush=True)\n"
        "time.sleep(60)"
    )
    made = child(tmp_path, code)
    up(made)
    pid = int(made.tail().split("pid ")[1].split()[0])
    assert not made.stop(timeout_seconds=0.3)
    wait_until(lambda: ended(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel ends children with their parent")
def test_a_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    parent_code = (
        "import sys, time\nfrom pathlib import Path\nfrom sagestream.playground.processes import Child\n"
        f"c = Child('c', [sys.executable, '-c', {SLEEPER!r}], Path({str(tmp_path / 'c.log')!r}))\n"
        "c.start()\nprint(c.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: ended(pid))


def test_the_wait_for_a_child_that_makes_progress_begins_anew(tmp_path: Path) -> None:
    made = child(tmp_path, SLEEPER)
    states = iter(["its port is closed", *["kafka: waiting for its partitions"] * 9])
    asked: list[int] = []

    def ready() -> bool:
        asked.append(1)
        return len(asked) == 4  # each round takes 0.05 s

    made.wait_ready(ready, 10, lambda: next(states))
    with pytest.raises(ProcessFailed, match=r"not ready after 0\.1 s \(kafka: waiting"):
        made.wait_ready(lambda: False, 0.1, lambda: "kafka: waiting")


def test_one_that_hangs_is_started_again_with_the_reason(tmp_path: Path) -> None:
    states = {"child": "no answer"}
    supervisor = Supervisor()
    hanging = Child("child", [sys.executable, "-c", SLEEPER], tmp_path / "log", health=lambda: states["child"])
    supervisor.start(hanging)
    up(hanging)
    first = hanging.pid
    assert first is not None
    assert supervisor.restart_hung(0) == supervisor.restart_hung(2 * HUNG_SECONDS) == []  # it starts: no answer yet
    states["child"] = "ok"
    assert supervisor.restart_hung(200) == []
    os.kill(first, signal.SIGSTOP)
    states["child"] = "no progress for 130 s: storing"
    assert supervisor.restart_hung(300) == supervisor.restart_hung(300 + HUNG_SECONDS - 1) == []
    assert supervisor.restart_hung(300 + HUNG_SECONDS) == [(hanging, "no progress for 130 s: storing")]
    assert hanging.alive
    assert hanging.pid != first
    assert (hanging.restarts, supervisor.restart_hung(500)) == (1, [])
    supervisor.stop()
