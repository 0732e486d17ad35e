"""Buy again: how well the orders of the slot `buy_again` foresee each shopper's true next visit.

Arrives: a table of purchases, and how many days before its end the lists are made. Leaves: NDCG@12 and the share of
visits with a hit by order, as a table or JSON. Next: docs/benchmarks.md.

Visits are days. A list is made at the beginning of the shopper's first day after the cut, of what they had bought
before the cut, with the days that `serving.shop_lists.repurchase` learned before it. The targets are all items of that
day, new ones too, which no such list can have. Start it as `python -m benchmarks.buy_again`.
"""

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphstore.arrays import Float32Array, IntArray
from graphstore.catalogue import Item
from sagestream.datasets import TableWords
from sagestream.printable import PlainConsole
from sagestream.stages import Stages
from sagestream.verbs.benchmark_input import read_table
from serving.rules.context import DAY_MS, RuleContext
from serving.rules.repurchase import days_of, due_items
from serving.rules.rule_set import RuleSet
from serving.shop_lists.assortment import assortment_of
from serving.shop_lists.purchases import of_lines
from serving.shop_lists.repurchase import repurchase_days
from stream.sources.source import Reading
from training.config import TrainingConfig
from training.data.event_log import EventLog
from training.data.offline import OfflineDataset
from training.data.windows import Window
from training.evaluation.ranking import accuracy
from training.models.candidate import Candidate
from training.options import TrainingOptions
from training.terms.filter_bank import FilterBank
from training.terms.linear_filter import LinearFilter

LENGTH = 12
METRICS = {"NDCG@12": f"ndcg@{LENGTH}", "visits with a hit": f"hit_rate@{LENGTH}"}
FIT_SHARE = 0.9
"""The model's terms learn this share of the past before its weights are fitted on the rest."""


class Visit(NamedTuple):
    """One shopper at the beginning of their next visit."""

    context: RuleContext
    bought: list[Item]
    liked: Float32Array  # [num_items], the model's scores


def measure(data: OfflineDataset, *, days_back: float) -> dict[str, dict[str, float]]:
    """Return the metrics of each order on the next visits after the cut, `days_back` days before the end."""
    cut = int(data.log.times[-1] - days_back * DAY_MS) // DAY_MS * DAY_MS
    past, later = data.log.between(end=cut), data.log.between(cut)
    begins, window = next_visits(past, later, cut)
    shelf = [Item(row, str(row), categories=own) for row, own in enumerate(_categories(data))]
    lines = np.stack([past.users, past.items, past.times, np.full(len(past), -1)], axis=1)
    learned = repurchase_days(of_lines(lines), assortment_of((item.item_key, item.categories) for item in shelf))
    lists: dict[str, list[list[int]]] = {}
    for visit in _visits(window, begins, learned, shelf, scores_of_a_model(past, window, cut)):
        for name, order in orders(visit).items():
            lists.setdefault(name, []).append((order + [-1] * LENGTH)[:LENGTH])
    return {
        name: {
            shown: round(float(accuracy(np.array(rows), window, cutoffs=(LENGTH,))[metric].mean()), 4)
            for shown, metric in METRICS.items()
        }
        for name, rows in lists.items()
    }


def orders(visit: Visit) -> dict[str, list[int]]:
    """Return the items of the visit in each order, best first."""
    context, rules = visit.context, RuleSet()
    due = [item.item_key for item, _ in due_items(visit.bought, rules, context)]
    everything = [item.item_key for item in visit.bought]
    by_key = {item.item_key: item for item in visit.bought}

    def since(key: int) -> float:
        return max(0, context.now - context.bought[by_key[key].item_id]) / DAY_MS

    def over(key: int) -> float:
        days = days_of(by_key[key], rules, context)
        return -1.0 if days is None else math.log1p(since(key)) - math.log1p(days)

    return {
        "what is due, in the model's order": sorted(due, key=lambda key: -visit.liked[key]),
        "all that was bought, in the model's order": sorted(everything, key=lambda key: -visit.liked[key]),
        "what is due, in the rule's own order": due,
        "what is due, the newest purchase first": sorted(due, key=since),
        "what is due, the most overdue first": sorted(due, key=lambda key: -over(key)),
    }


def next_visits(past: EventLog, later: EventLog, cut: int) -> tuple[IntArray, Window]:
    """Return when each known shopper's first day after the cut begins (epoch ms) [U], and the window of these days."""
    later = later.take(np.flatnonzero(np.isin(later.users, past.users)))
    days = later.times // DAY_MS
    first = np.full(later.num_users, np.iinfo(np.int64).max)
    np.minimum.at(first, later.users, days)
    visits = later.take(np.flatnonzero(days == first[later.users]))
    window = Window.after(past, visits, as_of=cut, repeats=True)
    return first[window.users] * DAY_MS, window


def scores_of_a_model(past: EventLog, window: Window, cut: int) -> Float32Array:
    """Return the scores [U, num_items] of a model that counts repeats: every term but content and GraphSAGE."""
    start = int(np.quantile(past.times, FIT_SHARE))
    before = past.between(end=start)
    model = Candidate.fitted(
        before,
        Window.cut(past, start=start, repeats=True),
        filters=FilterBank([LinearFilter.fit(before)], (50.0,)),
        features=None,
        horizon_ms=cut - start,
        config=TrainingConfig(),
        options=TrainingOptions(seed=0),
    )
    model.advance(past, start, None, None)
    return np.concatenate([model(block.histories, as_of=cut).numpy() for block in window.blocks()])


def _visits(
    window: Window, begins: IntArray, learned: dict[str, float], shelf: list[Item], scores: Float32Array
) -> Iterator[Visit]:
    past = window.histories
    for row, (start, end) in enumerate(zip(past.offsets[:-1], past.offsets[1:], strict=True)):
        items = past.items[start:end].tolist()
        bought = {str(item): time for item, time in zip(items, past.times[start:end].tolist(), strict=True)}
        context = RuleContext(now=int(begins[row]), repurchase=learned, bought=bought)
        yield Visit(context, [shelf[item] for item in dict.fromkeys(items)], scores[row])


def _categories(data: OfflineDataset) -> list[list[str]]:
    return data.catalogue.categories if data.catalogue else [[] for _ in data.item_ids]


def main() -> None:
    """Measure one table and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", default="complete-journey", help="a table, or complete-journey")
    parser.add_argument("--min-item-users", type=int, default=1)
    parser.add_argument("--days-back", type=float, nargs="+", default=[40.0, 100.0, 160.0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    table = read_table(arguments.interactions, TableWords(), Reading(), Stages(PlainConsole(stderr=True)))
    data = OfflineDataset.from_table(table, table.items, min_item_users=arguments.min_item_users)
    found = {f"{days:g} days": measure(data, days_back=days) for days in arguments.days_back}
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"| cut before the end | order | {' | '.join(METRICS)} |", "|---|---|" + "---|" * len(METRICS), sep="\n")
    for cut, by_order in found.items():
        for name, figures in by_order.items():
            print(f"| {cut} | {name} | {' | '.join(f'{value:.4f}' for value in figures.values())} |")


if __name__ == "__main__":
    main()
