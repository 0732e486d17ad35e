"""What goes together: found where the answer is known, and not what everybody buys or one person has bought."""

import math

import numpy as np
import pytest

from serving.shop_lists import together as module
from serving.shop_lists.purchases import BASKET_GAP_MS, of_lines
from serving.shop_lists.together import BASKET_ITEMS, PRIOR, SHOPPER_BASKETS, together

HOUR = BASKET_GAP_MS
TEA, CUP, BREAD, KETTLE, POT = 11, 12, 13, 14, 15


def lines(*baskets: tuple[int, int, list[int]], order: int = -1) -> np.ndarray:
    """Rows of baskets, each with its shopper and hour."""
    return np.array([(shopper, item, hour * 2 * HOUR, order) for shopper, hour, basket in baskets for item in basket])


def shop() -> np.ndarray:
    """Fourteen shoppers buy tea with a cup; all forty buy bread, with anything; one buys a kettle with a pot."""
    with_cup = [(shopper, 0, [TEA, CUP, BREAD]) for shopper in range(14)]
    others = [(shopper, 0, [BREAD]) for shopper in range(14, 39)]
    return lines(*with_cup, *others, (39, 0, [KETTLE, POT, BREAD]))


def test_the_known_answer() -> None:
    found = together(of_lines(shop()))
    assert [(entry.item_key, entry.number) for entry in found[TEA]] == [(CUP, 14)]
    assert [(entry.item_key, entry.number) for entry in found[CUP]] == [(TEA, 14)]
    expected = math.log((14 + PRIOR) / (14 * 14 / 40 + PRIOR))
    assert found[TEA][0].score == pytest.approx(expected, rel=1e-6)
    assert BREAD not in found  # it goes with everything
    assert KETTLE not in found  # one shopper is no evidence


def test_a_shopper_counts_once_however_often(monkeypatch: pytest.MonkeyPatch) -> None:
    often = lines(*((0, hour, [TEA, CUP]) for hour in range(50)), (1, 0, [TEA]), *((n, 0, [POT]) for n in range(2, 90)))
    assert together(of_lines(often)) == {}
    both = np.concatenate([often, lines((1, 9, [TEA, CUP]))])
    assert together(of_lines(both))[TEA][0].number == 2
    baskets = SHOPPER_BASKETS + 1
    expected = math.log((baskets + PRIOR) / ((baskets + 1) * baskets / (baskets + 1 + 88) + PRIOR))
    assert together(of_lines(both))[TEA][0].score == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(module, "BLOCK_LINES", 3)
    assert together(of_lines(both))[TEA][0].number == 2


def test_a_basket_is_an_order_or_an_hour() -> None:
    rows = np.array(
        [
            (1, TEA, 0, 5),
            (1, CUP, 9 * HOUR, 5),  # the same order, much later
            (1, POT, 10, -1),
            (1, BREAD, 10 + HOUR, -1),
            (1, KETTLE, 11 + 2 * HOUR, -1),
            (2, TEA, 0, 5),  # another shopper's order
        ]
    )
    purchases = of_lines(rows)
    baskets: dict[int, set[tuple[int, int]]] = {}
    for basket, shopper, item in zip(purchases.baskets, purchases.shoppers, purchases.items, strict=True):
        baskets.setdefault(int(basket), set()).add((int(shopper), int(item)))
    assert sorted(map(sorted, baskets.values())) == [
        [(1, TEA), (1, CUP)],
        [(1, BREAD), (1, POT)],
        [(1, KETTLE)],
        [(2, TEA)],
    ]


def test_blocks_count_as_the_whole_and_large_baskets_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows = np.stack(
        [rng.integers(0, 40, 4000), rng.integers(100, 130, 4000), rng.integers(0, 99, 4000) * 2 * HOUR, [-1] * 4000],
        axis=1,
    )
    whole = together(of_lines(rows))
    for block in (1, 37, 500):
        monkeypatch.setattr(module, "BLOCK_LINES", block)
        assert together(of_lines(rows)) == whole
    wholesale = lines(*((shopper, 0, list(range(200, 300))) for shopper in range(3)))
    found = module.basket_pairs(*_columns(wholesale), 1000)
    assert found.shape[1] == 3 * BASKET_ITEMS * (BASKET_ITEMS - 1) // 2


def _columns(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    purchases = of_lines(rows)
    return purchases.shoppers, purchases.baskets, purchases.items


def test_the_counts_are_those_of_a_slow_count() -> None:
    rng = np.random.default_rng(5)
    rows = np.stack(
        [rng.integers(0, 9, 300), rng.integers(0, 6, 300), rng.integers(0, 9, 300) * 2 * HOUR, [-1] * 300]
    ).T
    slow: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for shopper, item, time, _ in rows:
        for other_shopper, other, other_time, _ in rows:
            if (shopper, time) == (other_shopper, other_time) and item < other:
                slow.setdefault((int(item), int(other)), set()).add((int(shopper), int(time)))
    purchases = of_lines(rows)
    counted = module.counted_pairs(purchases.shoppers, purchases.baskets, purchases.items, 6)
    assert {divmod(pair, 6): (baskets, shoppers) for pair, baskets, shoppers in counted.T.tolist()} == {
        pair: (len(of), len({shopper for shopper, _ in of})) for pair, of in slow.items()
    }


def test_a_shop_without_purchases() -> None:
    assert together(of_lines(np.zeros((0, 4), dtype=np.int64))) == {}
