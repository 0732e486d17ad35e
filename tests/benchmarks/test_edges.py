"""An epoch told from some of its steps, and slopes of costs that are known."""

from typing import Any

import pytest

from benchmarks.edges import measure_growth, sage_fit
from benchmarks.shop_log import LogSize
from benchmarks.slope import slope
from training.process import SpawnedProcessFailed


@pytest.mark.slow
def test_an_epoch_is_what_its_steps_cost_and_what_is_around_them() -> None:
    shop = LogSize(edges=40_000, users=800, items=1_000)
    some, whole = (sage_fit(shop, None, steps, 0, lambda line, share: None) for steps in (12, None))
    assert (some["steps"], whole["steps"]) == (12, 20)
    assert some["steps_an_epoch"] == whole["steps_an_epoch"] == 20
    assert whole["epoch_cpu_seconds"] == whole["cpu_seconds"]
    assert some["epoch_cpu_seconds"] == pytest.approx(some["cpu_seconds"] + 8 * some["step_cpu_ms"] / 1_000, abs=0.01)


def test_growth_goes_through_every_fit_at_every_size_and_tells_the_slopes() -> None:
    """On costs that are made up: an epoch in proportion to the edges, memory with their root."""
    calls: list[str] = []

    def run(name: str, function: Any, shop: LogSize, *rest: Any) -> dict[str, Any]:
        calls.append(name)
        assert shop.users == shop.edges // 50
        seconds = shop.edges / 1e6
        return {"cpu_seconds": seconds**2, "epoch_cpu_seconds": seconds, "peak_rss_mb": shop.edges**0.5}

    growth: dict[str, Any] = {}
    measure_growth(growth, run, sizes=[1_000_000, 100_000], edges_a_user=50, items=10, steps=3)
    assert calls[:3] == ["whole graph, 100,000 edges", "sampled, 100,000 edges", "closed form, 100,000 edges"]
    assert len(calls) == 6
    assert growth["slope"]["whole graph"] == {"epoch_cpu_seconds": 1.0, "peak_rss_mb": 0.5}
    assert growth["slope"]["closed form"] == {"cpu_seconds": 2.0, "peak_rss_mb": 0.5}


def test_a_fit_that_fails_leaves_the_slopes_of_those_before_it() -> None:
    def run(name: str, function: Any, shop: LogSize, *rest: Any) -> dict[str, Any]:
        if name == "closed form, 1,000 edges":
            raise SpawnedProcessFailed("killed")
        return {"cpu_seconds": 1.0, "epoch_cpu_seconds": float(shop.edges), "peak_rss_mb": 1.0}

    growth: dict[str, Any] = {}
    with pytest.raises(SpawnedProcessFailed):
        measure_growth(growth, run, sizes=[100, 1_000], edges_a_user=50, items=10, steps=3)
    assert growth["slope"]["sampled"]["epoch_cpu_seconds"] == 1.0
    assert growth["slope"]["closed form"]["cpu_seconds"] is None


def test_one_size_has_no_slope() -> None:
    assert slope({"10": {"cpu_seconds": 1.0}}, "cpu_seconds") is None
