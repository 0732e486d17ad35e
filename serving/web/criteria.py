"""Criteria of a request: reads the parameters that say which items a list may hold.

Arrives: a query string's names, each with all its values. Leaves: a `Criteria`. Next: `serving.recommend`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from serving.rules.criteria import Criteria

Query = Mapping[str, Sequence[str]]
"""Every name with all its values: `dict(request.query_params.lists())`, or `parse_qs(text, keep_blank_values=True)`."""
ATTRIBUTE = "attribute."
"""The beginning of the names `attribute.NAME`."""
CRITERIA = frozenset(
    {"category", "brand", "price_min", "price_max", ATTRIBUTE, "without", "without_category", "without_brand"}
)
"""The parameters of `read_criteria`."""


def read_criteria(query: Query) -> Criteria:
    """Return the criteria of a query. Raises `Refused` with the parameter's name."""
    raise NotImplementedError


def only_known(names: Iterable[str], allowed: Collection[str]) -> None:
    """Raise `Refused` with the first name that is not allowed. `ATTRIBUTE` allows every `attribute.NAME`."""
    raise NotImplementedError
