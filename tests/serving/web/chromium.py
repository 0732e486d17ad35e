"""A headless Chromium that a test steers over a pipe by its DevTools protocol: no driver and no port."""

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from tests.waiting import wait_until

WAIT_SECONDS = 60.0
NO_CHROMIUM = "no page is opened in a browser: install chromium"


class Browser:
    """One page. What its console said in anger is in `complaints`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._numbers = itertools.count(1)
        self._answers: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._session: str | None = None
        self.complaints: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            try:
                answer = self._answers.get(timeout=WAIT_SECONDS)
            except Empty:
                raise AssertionError(f"Chromium did not answer {method}") from None
            if answer["id"] == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def show(self, width: int, *, scheme: str = "light") -> None:
        """Be as wide as a telephone or a screen, light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        """Go to the address and wait until its page is complete."""
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.value("location.href != 'about:blank' && document.readyState == 'complete'"))

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; None while the page changes."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return None if "exceptionDetails" in found else found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def _read(self) -> None:
        rest = b""
        while part := os.read(self._from, 1 << 16):
            *whole, rest = (rest + part).split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self._answers.put(message)
                elif message["method"] == "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(message["params"])[:2000])
                elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                    self.complaints.append(message["params"]["entry"]["text"])


@contextlib.contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """A browser with its profile in the directory. Skips the test where Chromium is not installed."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip(NO_CHROMIUM)
    read_commands, to_browser = os.pipe()
    from_browser, write_answers = os.pipe()
    options = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage --remote-debugging-pipe"
    command = f'exec "$0" {options} --user-data-dir="$1" about:blank 3<&{read_commands} 4>&{write_answers}'
    process = subprocess.Popen(
        ["bash", "-c", command, program, str(directory)],
        pass_fds=(read_commands, write_answers),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(read_commands)
    os.close(write_answers)
    try:
        yield Browser(to_browser, from_browser)
    finally:
        process.kill()
        process.wait(WAIT_SECONDS)
        os.close(to_browser)
