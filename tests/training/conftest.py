"""One broker of the two: training asks nothing of it but its contract, which `tests/contracts` holds against both.

Baselines are fitted on one thread, as `training.benchmark.isolated` does: with more, sums come in any order.
"""

from collections.abc import Iterator

import pytest
import torch

from sagestream.playground.embedded import Broker
from training.cluster.ray_cluster import local_ray


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def at_once() -> Iterator[int]:
    """The tasks that a Ray of two workers runs at once."""
    with local_ray(2) as found:
        yield found


@pytest.fixture(scope="module")
def broker(tansu: Broker) -> Broker:
    return tansu
