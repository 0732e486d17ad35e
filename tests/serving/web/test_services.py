import threading

import pytest
from django.test import Client

from serving.web import services
from serving.web.outbox import NotDelivered


def test_threads_share_one_of_each(web: Client) -> None:
    found: list[tuple[int, int]] = []
    threads = [
        threading.Thread(target=lambda: found.append((id(services.storefront()), id(services.outbox()))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_after_closing_new_ones_are_made(web: Client) -> None:
    first, outbox = services.storefront(), services.outbox()
    services.close()
    assert services.storefront() is not first
    assert services.outbox() is not outbox
    with pytest.raises(NotDelivered):
        outbox.deliver([], timeout_seconds=1)
