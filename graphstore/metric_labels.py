"""Metric labels: bound the values of a label, so that no input from outside can make time series without end.

Each value of a label is a time series in the process and in Prometheus, and stays there. A slot, a model version or a
topic that comes with an event may be any text, so a metric gets it through these functions.
"""

from collections.abc import Collection, Mapping

OTHER = "other"
"""The value for all texts that have no series of their own."""


def known(value: str, names: Collection[str]) -> str:
    """Return the value if it is one of the names, else `OTHER`."""
    return value if value in names else OTHER


def largest(sizes: Mapping[str, float], *, keep: int) -> frozenset[str]:
    """Return the `keep` names with the largest sizes. The name breaks ties."""
    return frozenset(sorted(sizes, key=lambda name: (-sizes[name], name))[:keep])
