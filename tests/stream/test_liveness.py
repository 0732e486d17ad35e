"""A main loop that hangs is told by `/healthz`, and the process ends with a reason."""

import re
import subprocess
import sys
import textwrap

from stream.liveness import HUNG_EXIT, STALL_SECONDS, Liveness, Watchdog
from tests.waiting import wait_until


def test_no_progress_is_told_with_what_was_done_last() -> None:
    moment = [0.0]
    liveness = Liveness(clock=lambda: moment[0])
    moment[0] = STALL_SECONDS
    assert liveness.state == "ok"
    moment[0] += 1
    assert liveness.state == f"no progress for {STALL_SECONDS + 1:.0f} s: starting"
    liveness.beat("loading a model", within_seconds=600)
    moment[0] += 600
    assert liveness.state == "ok"
    moment[0] += 1
    assert liveness.state == "no progress for 601 s: loading a model"
    liveness.beat()
    assert liveness.state == "ok"


def test_one_late_beat_ends_nothing() -> None:
    """As after SIGSTOP and SIGCONT: the watch may look before the loop runs again."""
    states = iter(["no progress for 9 s", "ok"] * 3 + ["no progress for 9 s"] * 99)
    looked: list[str] = []

    class Slow(Liveness):
        @property
        def state(self) -> str:
            looked.append(next(states))
            return looked[-1]

    ended: list[str] = []
    Watchdog(Slow(), end=ended.append, look_seconds=0.001)
    wait_until(lambda: bool(ended))
    assert len(looked) == 12


def test_a_process_that_hangs_ends_itself_and_says_where() -> None:
    program = """
        import threading
        from stream.liveness import Liveness, Watchdog
        def in_the_main_loop():
            Watchdog(Liveness(stall_seconds=0.01), look_seconds=0.01)
            threading.Event().wait()
        in_the_main_loop()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == HUNG_EXIT
    assert re.search(r"ends itself, because it does not go on: no progress for \d+ s: starting", done.stderr)
    assert "in in_the_main_loop" in done.stderr


def test_a_process_that_loses_a_thread_ends_itself_and_says_which() -> None:
    program = """
        import threading
        from stream.liveness import Liveness, Watchdog, end_with_threads
        end_with_threads()
        liveness = Liveness()
        def leave():
            raise SystemExit
        for name, work in (("done", int), ("left", leave), ("errands", lambda: {}["gone"])):
            thread = threading.Thread(target=work, name=name)
            print(liveness.state)
            thread.start()
            thread.join()
        print(liveness.state, flush=True)
        Watchdog(liveness, look_seconds=0.01)
        threading.Event().wait()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == ["ok"] * 3 + ["the thread errands ended with KeyError"]
    assert done.returncode == HUNG_EXIT
    assert "KeyError: 'gone'" in done.stderr
    assert "it does not go on: the thread errands ended with KeyError" in done.stderr
