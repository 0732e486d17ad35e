"""One broker of the two: serving asks nothing of it but its contract, which `tests/contracts` holds against both."""

import socket
from collections.abc import Iterator

import pytest

from sagestream.playground.embedded import Broker


@pytest.fixture(scope="module")
def broker(tansu: Broker) -> Broker:
    return tansu


@pytest.fixture
def hung_redis() -> Iterator[str]:
    """A server that accepts connections and never answers, like a process that was stopped."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        yield f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
