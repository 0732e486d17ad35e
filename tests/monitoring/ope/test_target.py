"""The probabilities of another policy on a log from SQL, and the value that follows from them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from sqlalchemy import Engine

from graphstore.arrays import Float32Array, IntArray
from graphstore.queries import HistoryRow
from graphstore.session import read
from monitoring.ope.estimators import evaluate
from monitoring.ope.logs import Selection, ShownItem, ShownList, shown_lists
from monitoring.ope.target import Candidates, UnknownShare, candidates, lists_under
from serving.exploration import NEW, probabilities, propensities
from serving.routing import Exploration
from tests.monitoring.ope.shop_log import HOW, LISTED, NOON, RATES, SCORES, VARIANT, fill
from training.data.event_log import Histories

SAME = Candidates(LISTED, np.array(SCORES))


def shown(*items: tuple[str, float, str], user: str = "u", variant: str = VARIANT, time: int = NOON) -> ShownList:
    return ShownList(
        user, variant, "m1", time, [ShownItem(item, chance, source, 1.0) for item, chance, source in items]
    )


def ratios(one: ShownList, how: Exploration, shares: Mapping[str, float] = MappingProxyType({})) -> list[float]:
    return lists_under([one], [SAME], how, positions=len(one.items), shares=shares).ratios[0].tolist()


def test_the_same_policy_has_the_ratio_one() -> None:
    # A new item with 0.2 / 2, then the list's items.
    chances = propensities(SCORES, 2, HOW, [4, 1, 0])
    logged = shown(("x", chances[0], NEW), ("b", chances[1], "batch"), ("a", chances[2], "batch"))
    assert ratios(logged, HOW, {VARIANT: 0.2}) == pytest.approx([1.0, 1.0, 1.0])


def test_another_temperature_and_another_share() -> None:
    how = Exploration(temperature=0.5, new_items=0.1)
    logged = shown(("c", 0.25, "batch"), ("x", 0.1, NEW), ("a", 0.5, "nearline"))
    first = np.exp(np.array(SCORES) / 0.5)
    expected = [0.9 * first[2] / first.sum() / 0.25, 0.1 / 0.2, 0.9 * first[0] / (first.sum() - first[2]) / 0.5]
    assert ratios(logged, how, {VARIANT: 0.2}) == pytest.approx(expected)


def test_what_the_other_policy_cannot_show_has_the_ratio_zero() -> None:
    logged = shown(("unknown", 0.5, "batch"), ("x", 0.1, NEW), ("a", 0.5, "batch"))
    assert ratios(logged, Exploration(), {VARIANT: 0.2}) == [0.0, 0.0, 2.0]
    with pytest.raises(UnknownShare, match="try/wide showed new items"):
        ratios(logged, HOW)


def test_the_expected_prediction_is_the_mean_over_what_could_be_shown() -> None:
    how = Exploration(temperature=0.5)
    lists = [shown(("a", 0.5, "batch"), user=f"u{number}") for number in range(50)]
    lists += [shown(("b", 0.5, "batch"), user=f"v{number}") for number in range(50)]
    lists = [replace(one, items=[one.items[0]._replace(reward=float(one.items[0].item_id == "a"))]) for one in lists]
    made = lists_under(lists, [SAME] * 100, how, positions=1, shares={})
    # Half of the rewards of the position, times the lift. What was never shown has the lift 1.
    a, b = made.predicted[0, 0], made.predicted[-1, 0]
    assert b < 0.5 < a
    chances = probabilities(SCORES, 0, how)
    rate = made.predicted.mean()
    assert made.expected.mean() == pytest.approx(chances[:2] @ [a, b] + chances[2:].sum() * rate, abs=0.05)


class Fixed:
    """Ranks like the log's model, for everybody; remembers what it was asked."""

    def __init__(self) -> None:
        self.item_ids = [*LISTED, "gone"]
        self.asked: list[list[HistoryRow]] = []
        self.times: list[int] = []

    def histories(self, per_user: Sequence[Sequence[HistoryRow]]) -> Histories:
        self.asked += [list(rows) for rows in per_user]
        return Histories.from_rows(per_user)

    def recommend(self, histories: Histories, *, as_of: int | IntArray, k: int) -> tuple[IntArray, Float32Array]:
        assert isinstance(as_of, np.ndarray)
        self.times += as_of.tolist()
        rows = np.tile(np.array([4, 0, 1, 2, 3, -1]), (len(histories), 1))
        scores = np.tile(np.array([9.0, *SCORES, -np.inf], dtype=np.float32), (len(histories), 1))
        return rows, scores


class Past:
    def histories_of(self, user_ids: Sequence[str]) -> Mapping[str, list[HistoryRow]]:
        return {user: [(1, NOON - 5, 0), (2, NOON + 5, 0)] for user in user_ids if user == "known"}


def test_a_model_ranks_the_history_before_the_list() -> None:
    model = Fixed()
    lists = [shown(("a", 0.5, "batch"), user="known"), shown(("a", 0.5, "batch"), user="stranger", time=NOON + 9)]
    found = candidates(model, Past(), lists, k=5, left_out=frozenset({"gone"}))
    assert [one.item_ids for one in found] == [LISTED, LISTED]
    assert found[0].scores.tolist() == SCORES
    assert model.asked == [[(1, NOON - 5, 0)], []]
    assert model.times == [NOON, NOON + 9]


def test_the_value_from_a_real_log_is_near_the_truth(sqlite_engine: Engine) -> None:
    fill(sqlite_engine, shoppers=300)
    with read(sqlite_engine) as connection:
        log = shown_lists(connection, Selection(NOON, NOON + 86_400_000, positions=1))
    how = Exploration(temperature=0.6, new_items=0.1)
    made = lists_under(log, [SAME] * len(log), how, positions=1, shares={VARIANT: 0.2})
    chances = probabilities(SCORES, 1, how)
    truth = float(chances @ [*(RATES[item] for item in LISTED), RATES["x"]])
    done = evaluate(made)
    for name, value in done.estimates.items():
        assert value.low < truth < value.high, name
        assert value.high - value.low < 0.1
    assert done.mean_weight == pytest.approx(1.0, abs=0.1)
