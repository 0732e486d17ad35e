"""One broker of the two: the verbs ask nothing of it but its contract, which `tests/contracts` holds against both."""

import pytest

from sagestream.playground.embedded import Broker


@pytest.fixture(scope="module")
def broker(tansu: Broker) -> Broker:
    return tansu
