"""Scoring: applies the rules that change scores, in their order: fatigue, boosts, session lift.

Arrives: candidates that passed the filters. Leaves: `Chosen` values with their new scores and what touched them, best
first within each tier. Next: `serving.rules.select` gives them positions.
"""

from collections.abc import Sequence

from serving.rules import boosts, fatigue, session_lift
from serving.rules.candidate import BOOST, BURY, FATIGUE, SESSION, Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.rule_set import RuleSet


def scored(candidates: Sequence[Candidate], rules: RuleSet, context: RuleContext) -> list[Chosen]:
    """Return the candidates with their scores after the rules. Equal scores keep the order given."""
    items = [candidate.item for candidate in candidates]
    columns: list[tuple[list[float], str, str]] = []
    if rules.fatigue_after is not None and context.shown:
        columns.append((fatigue.changes(items, rules, context), FATIGUE, FATIGUE))
    if rules.boost:
        columns.append((boosts.changes(items, rules), BOOST, BURY))
    if context.session:
        columns.append((session_lift.changes(items, context), SESSION, SESSION))
    found = [Chosen(candidate, candidate.score, 1.0) for candidate in candidates]
    if columns:
        found = [_changed(one, row, columns) for row, one in enumerate(found)]
    found.sort(key=_order)
    return found


def _order(one: Chosen) -> tuple[int, float]:
    return one.candidate.tier, -one.score


def _changed(one: Chosen, row: int, columns: Sequence[tuple[list[float], str, str]]) -> Chosen:
    score, touched = one.score, list[str]()
    for changes, up, down in columns:
        if change := changes[row]:
            score += change
            touched.append(up if change > 0 else down)
    return Chosen(one.candidate, score, 1.0, tuple(touched)) if touched else one
