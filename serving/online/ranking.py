"""Ranking: one request, its history and the model, to a ranking.

Arrives: a `RankRequest` from `serving.online.door`, and the shopper's stored events. Leaves: a `RankAnswer`, or
`NotRanked` with a reason. Next: the door sends it.

A session without a user id is ranked by what the request brings, and leaves no trace: nothing is stored or logged here.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from prometheus_client import Counter, Histogram

from graphstore.arrays import BoolArray, IntArray
from graphstore.queries import HistoryRow
from serving.online.catalogue_columns import CatalogueColumns
from serving.online.protocol import Carrier, Evidence, RankAnswer, RankRequest, SessionEvent
from serving.ranker import LiveRanker
from stream.events import EventType

SAME_EVENT_MS = 30 * 60_000
"""A session event without a time is the stored one of the same item and type when that is at most this old."""

_unknown = Counter("sagestream_ranker_unknown_items", "Items in requests that the ranker does not know, and ignored")
_matching = Histogram(
    "sagestream_ranker_matching_items",
    "Items that the conditions of a request left to rank",
    buckets=(0, 1, 10, 100, 1_000, 10_000, 100_000, math.inf),
)


class NotRanked(Exception):
    """The request is not ranked. `kind` is the reason for the metric, the message says it in words."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


@dataclass(frozen=True)
class _Places:
    """Where the items of a model are in the columns, computed once for each state of both."""

    item_keys: IntArray
    known: int
    places: IntArray


class OnlineRanking:
    """Ranks with the models that `models` returns, the champion first. For one thread."""

    def __init__(self, models: Callable[[], Mapping[str, LiveRanker]], columns: CatalogueColumns) -> None:
        self._models = models
        self._columns = columns
        self._places: dict[str, _Places] = {}

    def rank(self, request: RankRequest, stored: Sequence[HistoryRow], *, now: int) -> RankAnswer:
        """Return the ranking at the time `now` (epoch ms). `stored` are the shopper's events in SQL, oldest first.

        Raises `NotRanked` without the model that is asked for.
        """
        model = self._model(request.model_version)
        # A shopper's clock may be ahead of ours: their newest events have just happened.
        history = [(item, min(time, now - 1), kind) for item, time, kind in stored]
        history += self._session(request.session, stored, now)
        mask = self._mask(model, request)
        rows, scores = model.rank_one(history, as_of=now, k=request.k, mask=mask, known=request.known)
        return RankAnswer(
            model_version=model.model_version,
            as_of=now,
            item_keys=model.item_keys[rows].tolist(),
            scores=scores.tolist(),
            evidence=_evidence(model, history, rows[: request.evidence], now),
        )

    def _model(self, version: str | None) -> LiveRanker:
        models = self._models()
        if not models:
            raise NotRanked("no_model", "no model is published yet")
        if not self._columns.whole:
            raise NotRanked("starting", "the catalogue is being read")
        if version is None:
            return next(iter(models.values()))
        found = models.get(version)
        if found is None:
            raise NotRanked("unknown_model", f"model {version} does not serve here")
        return found

    def _session(self, session: Sequence[SessionEvent], stored: Sequence[HistoryRow], now: int) -> list[HistoryRow]:
        """Return the events of the request as rows of a history, without those that are stored already.

        A shop sends an event to the log and names it in its next request, too. It must not count twice.
        """
        rows: list[HistoryRow] = []
        recent = {(key, kind) for key, time, kind in stored if time >= now - SAME_EVENT_MS}
        exact = set(stored)
        for index, (event, key) in enumerate(
            zip(session, self._columns.keys_of([event.item_id for event in session]), strict=True)
        ):
            if key is None:
                _unknown.inc()
                continue
            kind = _CODES[event.event_type]
            if event.event_time is None:
                if (key, kind) not in recent:
                    rows.append((key, now - len(session) + index, kind))
            elif (key, event.event_time, kind) not in exact:
                rows.append((key, min(event.event_time, now - 1), kind))
        return rows

    def _mask(self, model: LiveRanker, request: RankRequest) -> BoolArray | None:
        """Return which rows [num_items] the request allows, None for all."""
        if not request.criteria and not request.without and request.candidates is None:
            return None
        if request.candidates is not None:
            _unknown.inc(self._columns.keys_of(request.candidates).count(None))
        allowed = self._columns.allowed(request.criteria, without=request.without, only=request.candidates)
        mask = allowed[self._places_of(model, len(allowed) - 1)]
        _matching.observe(int(np.count_nonzero(mask)))
        return mask

    def _places_of(self, model: LiveRanker, known: int) -> IntArray:
        """Return the place of each row, −1 for an item that is not among the first `known` of the columns."""
        kept = self._places.get(model.model_version)
        if kept is None or kept.item_keys is not model.item_keys or kept.known != known:
            places = self._columns.places_of(model.item_keys)
            kept = _Places(model.item_keys, known, np.where(places < known, places, -1))
            served = self._models()
            self._places = {version: one for version, one in self._places.items() if version in served}
            self._places[model.model_version] = kept
        return kept.places


def _evidence(model: LiveRanker, history: Sequence[HistoryRow], rows: IntArray, now: int) -> tuple[Evidence, ...]:
    """Return why the items of these rows stand where they stand."""
    if not len(rows):
        return ()
    return tuple(
        Evidence(
            item_key=one.item_key,
            terms=one.terms,
            carriers=tuple(
                Carrier(item_key=by.item_key, event_type=_TYPES[by.event_type], share=by.share, term=by.term)
                for by in one.carriers
            ),
        )
        for one in model.evidence(history, rows, as_of=now)
    )


_TYPES = tuple(EventType)
_CODES = {event_type: code for code, event_type in enumerate(_TYPES)}
"""As `graphstore.tables.EVENT_TYPES` has them."""
