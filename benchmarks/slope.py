"""Slope: how a cost grows with the size.

Arrives: costs by size. Leaves: the exponent of the growth. Next: `benchmarks.edges` and `benchmarks.scale`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np


def slope(by_size: Mapping[str, Mapping[str, Any]], key: str) -> float | None:
    """Return the least-squares slope of log cost over log size. 1 is linear. None for fewer than two sizes."""
    if len(by_size) < 2:
        return None
    costs = [one[key] for one in by_size.values()]
    sizes = np.log([float(size) for size in by_size])
    return round(float(np.polyfit(sizes, np.log(np.maximum(costs, 1e-3)), 1)[0]), 2)
