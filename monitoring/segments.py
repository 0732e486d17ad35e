"""Segments: what counts of a span are divided by: model, slot, variant, position, source, kind of model, day, hour.

Arrives: the lists and impressions of `shown`. Leaves: the segment of each as an integer, and the names of segments.
Next: `tally` and the metrics of a shop.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, select

from graphstore.arrays import IntArray
from graphstore.retention import DAY_MS
from graphstore.tables import HOUR_MS, models
from monitoring.names import Names, Vocabulary
from monitoring.shown import Shown
from monitoring.windows import ALL, segment_name

SEGMENT_KINDS = ("model", "slot", "variant", "position", "source", "kind")
"""What the stored windows are divided by. `kind` is the kind of the list's model."""
TIME_KINDS = ("day", "hour")
"""What a report may be divided by as well, in UTC. A stored window is one of these itself."""
ROW_KINDS = ("position", "source")
"""The items of one list can be in different segments of these kinds."""
LAST_POSITION = 20
"""The last position with its own segment: the first page of a list."""
UNKNOWN_KIND = "unknown"
"""The kind of a model that is not in the registry."""


def checked(kinds: Collection[str]) -> list[str]:
    """Return the kinds, `all` first. Raises `ValueError` for unknown ones."""
    if unknown := set(kinds) - {*SEGMENT_KINDS, *TIME_KINDS}:
        raise ValueError(f"counts are not divided by {', '.join(sorted(unknown))}")
    return [ALL, *dict.fromkeys(kinds)]


def model_kinds(connection: Connection) -> dict[str, str]:
    """Return the kind of each model of the registry."""
    return {row.model_version: row.kind for row in connection.execute(select(models.c.model_version, models.c.kind))}


class Segments:
    """The segments of the lists that share a vocabulary."""

    def __init__(self, vocabulary: Vocabulary, kinds_of_models: Mapping[str, str]) -> None:
        self._vocabulary = vocabulary
        self._kinds = kinds_of_models
        self._kind_names = sorted({UNKNOWN_KIND, *kinds_of_models.values()})

    def of(self, kind: str, rows: Shown, chosen: slice) -> IntArray:
        """Return the segment of each chosen list, or impression for `ROW_KINDS`; -1 for none."""
        if kind == ALL:
            return np.zeros(chosen.stop - chosen.start, dtype=np.int64)
        if kind == "position":
            return np.where(rows.position[chosen] <= LAST_POSITION, rows.position[chosen], -1)
        if kind in TIME_KINDS:
            return rows.time[chosen] // (HOUR_MS if kind == "hour" else DAY_MS)
        if kind == "kind":
            known = [self._kinds.get(name, UNKNOWN_KIND) for name in self._vocabulary.models.texts()]
            numbers = np.array([self._kind_names.index(name) for name in known], dtype=np.int64)
            found: IntArray = numbers[rows.model[chosen]]
            return found
        codes: IntArray = getattr(rows, kind)[chosen]
        return codes

    def of_rows(self, kind: str, rows: Shown, lists: slice) -> IntArray:
        """Return the segment of each impression of the chosen lists; -1 for none."""
        single = rows.rows_of(lists)
        if kind in ROW_KINDS:
            return self.of(kind, rows, single)
        found: IntArray = self.of(kind, rows, lists)[rows.of_list[single] - lists.start]
        return found

    def name(self, kind: str, code: int) -> str:
        """Return the name of a segment: `all`, or `kind:value`."""
        return ALL if kind == ALL else segment_name(kind, self._value(kind, code))

    def _value(self, kind: str, code: int) -> str:
        if kind == "position":
            return str(code)
        if kind in TIME_KINDS:
            width, form = (HOUR_MS, "%Y-%m-%dT%H") if kind == "hour" else (DAY_MS, "%Y-%m-%d")
            return datetime.fromtimestamp(code * width / 1000, UTC).strftime(form)
        if kind == "kind":
            return self._kind_names[code]
        names: Names = getattr(self._vocabulary, f"{kind}s")
        return names.texts()[code]
