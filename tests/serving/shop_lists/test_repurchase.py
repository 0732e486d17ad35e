"""When it is bought again: bread is, a fridge is not, and a few people teach nothing."""

import numpy as np
import pytest

from serving.shop_lists.assortment import Assortment
from serving.shop_lists.purchases import Purchases, of_lines
from serving.shop_lists.repurchase import DAY_MS, FEWEST_GAPS, FEWEST_SHOPPERS, repurchase_days

BREAD, ROLL, FRIDGE, BOOK = 1, 2, 3, 4
SHELF = Assortment(
    np.array([BREAD, ROLL, FRIDGE, BOOK]),
    ["Bakery", "Kitchen", "Books", "Empty"],
    np.array([0, 1, 2, 1, 3]),
    np.array([0, 0, 1, 1, 2]),
)


def purchases(*rows: tuple[int, int, float]) -> Purchases:
    """Of (shopper, item, day)."""
    return of_lines(np.array([(shopper, item, int(day * DAY_MS), -1) for shopper, item, day in rows]))


def test_the_known_answer() -> None:
    bread = [(shopper, BREAD, day) for shopper in range(5) for day in (0, 7, 14, 28)]  # gaps 7, 7, 14
    fridges = [(shopper, FRIDGE, 0.0) for shopper in range(200)] + [(shopper, FRIDGE, 900.0) for shopper in range(12)]
    assert repurchase_days(purchases(*bread, *fridges), SHELF) == {"Bakery": 7.0}


def test_the_days_are_the_lowest_tenth_of_the_gaps() -> None:
    rows = [row for shopper in range(20) for row in [(shopper, BREAD, 0.5), (shopper, BREAD, 0.9 + shopper)]]
    assert repurchase_days(purchases(*rows), SHELF)["Bakery"] == pytest.approx(np.quantile(np.arange(1, 20), 0.1))


@pytest.mark.parametrize(
    ("shoppers", "gaps"), [(FEWEST_SHOPPERS - 1, FEWEST_GAPS), (FEWEST_SHOPPERS, (FEWEST_GAPS - 1) // FEWEST_SHOPPERS)]
)
def test_a_few_people_teach_nothing(shoppers: int, gaps: int) -> None:
    rows = [(shopper, BREAD, day) for shopper in range(shoppers) for day in range(gaps + 1)]
    assert repurchase_days(purchases(*rows), SHELF) == {}


def test_an_item_teaches_each_of_its_categories_and_another_item_is_no_repetition() -> None:
    rolls = [(shopper, ROLL, day) for shopper in range(5) for day in (0, 3, 6)]
    books = [(shopper, (BOOK, FRIDGE)[day], day) for shopper in range(40, 90) for day in range(2)]
    found = repurchase_days(purchases(*rolls, *books), SHELF)
    assert found == {"Bakery": 3.0}  # of the kitchen's pairs, those of fridges among them, too few came again
    assert repurchase_days(purchases(*rolls), SHELF) == {"Bakery": 3.0, "Kitchen": 3.0}


def test_a_shop_without_purchases() -> None:
    assert repurchase_days(of_lines(np.zeros((0, 4), dtype=np.int64)), SHELF) == {}
