"""Sizes are read or refused, a child's own figures are kept, and a slope is the exponent of the growth."""

import argparse

import pytest

from benchmarks.scale import Shop, as_markdown, run, slopes
from benchmarks.scale_stages import spread

SMALL, LARGE = Shop(10, 5, 100), Shop(1_000, 50, 10_000)


def costs(factor: float) -> dict[str, dict[str, float]]:
    return {
        "events": {"cpu_seconds": factor**2, "peak_mb": 1.0},
        "snapshot": {"cpu_seconds": 4.0, "peak_mb": 1.0},
        "bytes": {"sql": 1e6 * factor, "redis": 0},
    }


@pytest.mark.parametrize("text", ["", "1:2", "1:2:3:4", "a:b:c", "1:0:5"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        Shop.parse(text)


def test_a_slope_is_the_exponent_and_nothing_grows_from_nothing() -> None:
    measured = {LARGE: costs(100.0), SMALL: costs(1.0)}
    assert slopes(measured) == {"events": 2.0, "snapshot": 0.0, "bytes: sql": 1.0}
    assert slopes({SMALL: costs(1.0)}) == {}
    table = as_markdown(measured, slopes(measured))
    assert "| events | 1.0 CPU s, 1.0 MB | 10,000.0 CPU s, 1.0 MB | 2.0 |" in table
    assert table.index(str(SMALL)) < table.index(str(LARGE))


def test_a_child_that_fails_is_told_with_its_output() -> None:
    assert Shop.parse("10:5:100") == SMALL
    with pytest.raises(RuntimeError, match=r"^json\.tool nowhere ended with"):
        run(["json.tool", "nowhere"], {})


@pytest.mark.parametrize(("count", "chosen"), [(None, "abcdefg"), (9, "abcdefg"), (7, "abcdefg"), (3, "ace"), (1, "a")])
def test_some_of_the_shoppers_are_spread_over_all(count: int | None, chosen: str) -> None:
    assert spread("abcdefg", count) == [*chosen]
