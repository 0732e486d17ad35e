"""The budget of a search: shares of CPU seconds, and what was refused."""

from training.search.budget import SearchBudget


def test_a_step_is_allowed_while_less_than_its_share_is_spent() -> None:
    now = [100.0]
    budget = SearchBudget.start(10.0, clock=lambda: now[0])
    assert budget.is_bounded
    assert budget.allows("filters", 0.5)
    now[0] = 104.9
    assert budget.allows("filters", 0.5)
    now[0] = 105.0
    assert not budget.allows("filters", 0.5)
    assert not budget.allows("filters", 0.5)
    assert budget.allows("shapes", 0.6)
    assert budget.refused == ["filters"]
    assert budget.spent == 0.5
    now[0] = 200.0
    assert budget.spent == 1.0


def test_a_budget_of_nothing_is_spent() -> None:
    budget = SearchBudget.start(0.0, clock=lambda: 1.0)
    assert budget.spent == 1.0
    assert not budget.allows("filters", 1.0)


def test_without_a_bound_everything_is_allowed() -> None:
    budget = SearchBudget.start(clock=lambda: 1e12)
    assert not budget.is_bounded
    assert budget.spent == 0.0
    assert budget.allows("anything", 0.01)
    assert budget.refused == []
