"""The trial shop in a real browser: it says what was in view, once and after a second, and nothing else."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client

from serving.web import services
from serving.web.gateway import Gateway
from serving.web.limits import TokenBuckets
from serving.web.outbox import Letter
from stream.events import Impression, Interaction, Seen
from tests.serving.web.chromium import Browser, chromium
from tests.serving.web.running import running
from tests.serving.web.test_views import Post
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.service]

LISTED = 5
HALF_IN_VIEW = """
[...document.querySelectorAll("#list .card")].filter((card) => {
  const { top, bottom, height } = card.getBoundingClientRect();
  return Math.min(bottom, innerHeight) - Math.max(top, 0) >= height / 2;
}).length
"""


class TimedPost(Post):
    """An outbox that also knows when each letter came, in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def offer(self, letter: Letter) -> bool:
        self.times.append(time.monotonic())
        return super().offer(letter)

    def deliver(self, letters: list[Letter], *, timeout_seconds: float) -> None:
        self.times += [time.monotonic()] * len(letters)
        super().deliver(letters, timeout_seconds=timeout_seconds)

    def seen(self) -> list[int]:
        """The positions of the looks, in the order in which they came."""
        return [place for letter in self.letters if isinstance(letter.event, Seen) for place in letter.event.positions]


@pytest.fixture
def post(web: Client, monkeypatch: pytest.MonkeyPatch) -> TimedPost:
    made = TimedPost()
    monkeypatch.setattr(services, "outbox", lambda: made)
    return made


@pytest.fixture
def browser(post: TimedPost, tmp_path: Path) -> Iterator[Browser]:
    """A telephone that shops as ann."""
    from serving.web.wsgi import application

    with (
        running(Gateway(application, threads=4, rate=TokenBuckets(0.0))) as port,
        chromium(tmp_path / "profile") as made,
    ):
        made.show(375)
        made.open(f"http://127.0.0.1:{port}/?user=ann")
        yield made


def test_what_is_in_view_for_a_second_is_said_once(browser: Browser, post: TimedPost) -> None:
    wait_until(lambda: post.seen() and browser.value(HALF_IN_VIEW))
    in_view = browser.value(HALF_IN_VIEW)
    assert 0 < in_view < LISTED
    served, look = post.letters[0].event, post.letters[1].event
    assert isinstance(served, Impression)
    assert isinstance(look, Seen)
    assert (served.confirmed, served.robot, len(served.items)) == (False, True, LISTED)  # a headless browser says so
    assert (look.request_id, look.user_id) == (served.request_id, "ann")
    assert post.seen() == list(range(in_view))
    assert post.times[1] - post.times[0] >= 1.0

    browser.value("scrollTo(0, document.body.scrollHeight)")
    wait_until(lambda: len(post.seen()) == LISTED)
    browser.value("scrollTo(0, 0)")  # what was seen is not said again
    browser.value('document.querySelector("#list [data-act=purchase]").click()')
    wait_until(lambda: isinstance(post.letters[-1].event, Interaction))
    bought = post.letters[-1].event
    assert isinstance(bought, Interaction)
    assert (bought.request_id, bought.position, bought.value) == (served.request_id, 0, 1.5)
    assert bought.order_id == bought.event_id
    assert sorted(post.seen()) == list(range(LISTED))
    assert browser.complaints == []
