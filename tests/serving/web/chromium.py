"""A headless Chromium that a test steers through its driver (Selenium): real clicks and real keys."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.waiting import wait_until

WAIT_SECONDS = 60
HEIGHT = 900
NO_CHROMIUM = "no page is opened in a browser: install chromium and chromium-driver"
PROGRAMS = ("chromium", "chromedriver")


class Browser:
    """One page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self._complaints: list[str] = []

    def show(self, width: int, *, scheme: str = "light") -> None:
        """Be as wide as a telephone or a screen, light or dark."""
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def open(self, url: str) -> None:
        """Go to the address and wait until its page is complete."""
        self.driver.get(url)

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page; None while the page changes."""
        try:
            return self.driver.execute_script(f"return ({expression});")
        except JavascriptException:
            return None

    def run(self, statements: str) -> Any:
        """Run JavaScript in the page; the value that it returns."""
        return self.driver.execute_script(statements)

    def element(self, css: str) -> WebElement:
        """The first element that is shown, as soon as there is one."""

        def shown() -> WebElement | None:
            try:
                return next(
                    (one for one in self.driver.find_elements(By.CSS_SELECTOR, css) if one.is_displayed()), None
                )
            except StaleElementReferenceException:
                return None

        found = wait_until(shown)
        assert found is not None
        return found

    def click(self, css: str) -> None:
        """Click with the mouse, as soon as the element is there."""

        def clicked() -> bool:
            try:
                found = self.element(css)
                self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
                found.click()
            except (StaleElementReferenceException, NoSuchElementException):
                return False
            return True

        wait_until(clicked)

    def write(self, css: str, text: str) -> None:
        """Write into a field, in the place of what stands there, and press Enter."""
        field = self.element(css)
        field.clear()
        field.send_keys(text, Keys.ENTER)

    def text(self, css: str) -> str:
        """The visible text of an element; "" while there is none."""
        try:
            return self.driver.find_element(By.CSS_SELECTOR, css).text
        except (NoSuchElementException, StaleElementReferenceException):
            return ""

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other, wherever the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def picture(self, file: Path) -> None:
        """Keep what is shown, for whoever looks."""
        self.driver.save_screenshot(str(file))

    @property
    def complaints(self) -> list[str]:
        """What the console said in anger, of scripts or of the Content-Security-Policy."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        self._complaints += [entry["message"] for entry in log if entry["level"] == "SEVERE"]
        return self._complaints


@contextlib.contextmanager
def chromium(directory: Path) -> Iterator[Browser]:
    """A browser with its profile in the directory. Skips the test where Chromium or its driver is not installed."""
    browser, driver = (shutil.which(program) for program in PROGRAMS)
    if browser is None or driver is None:
        pytest.skip(NO_CHROMIUM)
    options = Options()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        f"--user-data-dir={directory}",
    ):
        options.add_argument(argument)
    # Named, so that Selenium looks for no driver in the network.
    made = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    made.set_page_load_timeout(WAIT_SECONDS)
    try:
        yield Browser(made)
    finally:
        made.quit()
