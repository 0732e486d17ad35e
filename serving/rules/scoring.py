"""Scoring: applies the rules that change scores, in their order: fatigue, boosts, session lift.

Arrives: candidates that passed the filters. Leaves: `Chosen` values with their new scores and what touched them, best
first within each tier. Next: `serving.rules.select` gives them positions.
"""

from collections.abc import Sequence

from serving.rules import fatigue, session_lift
from serving.rules.candidate import BOOST, BURY, FATIGUE, SESSION, Candidate, Chosen
from serving.rules.context import RuleContext
from serving.rules.known import known
from serving.rules.rule_set import RuleSet


def scored(candidates: Sequence[Candidate], rules: RuleSet, context: RuleContext) -> list[Chosen]:
    """Return the candidates with their scores after the rules. Equal scores keep the order given."""
    items = [candidate.item for candidate in candidates]
    scores = [candidate.score for candidate in candidates]
    touched: list[tuple[str, ...]] = [()] * len(items)
    columns: list[tuple[list[float], str, str]] = []
    if rules.fatigue_after is not None and context.shown:
        columns.append((fatigue.changes(items, rules, context), FATIGUE, FATIGUE))
    if rules.boost:
        columns.append(([fact.lift for fact in known(rules).facts(items)], BOOST, BURY))
    if context.session:
        columns.append((session_lift.changes(items, context), SESSION, SESSION))
    for changes, up, down in columns:
        for row, change in enumerate(changes):
            if change:
                scores[row] += change
                touched[row] += (up if change > 0 else down,)
    tiers = [candidate.tier for candidate in candidates]
    if len({*tiers}) > 1:
        order = sorted(range(len(items)), key=lambda row: (tiers[row], -scores[row]))
    else:
        order = sorted(range(len(items)), key=scores.__getitem__, reverse=True)  # equal ones keep their order here, too
    return [Chosen(candidates[row], scores[row], 1.0, touched[row]) for row in order]
