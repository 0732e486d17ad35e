"""RecTools fit: SASRec, eSASRec or HSTU of RecTools on a prepared split, in an environment of its own.

Arrives: a file of arrays (`past` and `known` as user, item and time rows, validation users with their targets, test
users), the name of a model, CPU seconds, a seed. Leaves: a file with the lists of the test users, and a JSON line with
the chosen epochs and the cost. Next: `benchmarks.outside` compares them. It imports nothing of Sagestream, because
RecTools 0.19 needs numpy < 2 and pandas < 3.

The number of epochs is chosen on the validation users, an epoch at a time, until half of the seconds are gone or three
epochs in a row were not better. Then a new model learns all known events for as many epochs.

Source: Kang & McAuley, 2018 (SASRec); Tikhonovich et al., 2025 (eSASRec: LiGR layers, sampled softmax); Zhai et al.,
2024 (HSTU).
"""

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.transformers.ligr import LiGRLayers

CUTOFF = 20
PATIENCE = 3
MAX_EPOCHS = 100
FIT_SHARE = 0.5
SHAPE: dict[str, Any] = {"n_factors": 128, "n_blocks": 2, "n_heads": 4, "session_max_len": 50, "epochs": 1}
"""Twice our own SASRec's width, RecTools' depth. HSTU sees the order and no times, because a split may have none."""
SAMPLED: dict[str, Any] = {"loss": "sampled_softmax", "n_negatives": 256}


def model_of(name: str) -> Any:
    """Return an unfitted model. Raises `KeyError` for an unknown name."""
    return {
        "sasrec": lambda: SASRecModel(**SHAPE),
        "esasrec": lambda: SASRecModel(**SHAPE, **SAMPLED, transformer_layers_type=LiGRLayers),
        "hstu": lambda: HSTUModel(**SHAPE, **SAMPLED, relative_time_attention=False),
    }[name]()


def dataset_of(log: np.ndarray) -> Dataset:
    """Return the events [n, 3] as a data set of RecTools. Their order is that of the rows."""
    frame = pd.DataFrame(log, columns=[Columns.User, Columns.Item, Columns.Datetime])
    frame[Columns.Weight] = 1.0
    frame[Columns.Datetime] = pd.to_datetime(np.arange(len(frame)), unit="s")
    return Dataset.construct(frame)


def lists_of(model: Any, dataset: Dataset, users: np.ndarray, k: int, *, repeats: bool) -> np.ndarray:
    """Return the k best items of each user [U, k]; -1 for those that the model does not know."""
    known = np.isin(users, dataset.user_id_map.external_ids)
    lists = np.full((len(users), k), -1)
    if known.any():
        told = model.recommend(users[known], dataset, k=k, filter_viewed=not repeats, on_unsupported_targets="ignore")
        rows = {user: row for row, user in enumerate(users.tolist())}
        for user, item, rank in told[[Columns.User, Columns.Item, Columns.Rank]].itertuples(index=False):
            lists[rows[user], rank - 1] = item
    return lists


def ndcg(lists: np.ndarray, targets: np.ndarray, offsets: np.ndarray) -> float:
    """Return the mean NDCG of the lists [U, K]."""
    discounts = 1 / np.log2(np.arange(lists.shape[1]) + 2)
    ideals = np.cumsum(discounts)
    found = [
        (discounts * np.isin(row, targets[start:end])).sum() / ideals[min(end - start, lists.shape[1]) - 1]
        for row, start, end in zip(lists, offsets[:-1], offsets[1:], strict=True)
    ]
    return float(np.mean(found))


def main() -> None:
    """Choose the epochs, fit, and write the lists."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("lists", type=Path)
    parser.add_argument("--model", required=True, choices=("sasrec", "esasrec", "hstu"))
    parser.add_argument("--cpu-seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seed_everything(options.seed)
    split = np.load(options.split)
    repeats = bool(split["repeats"])
    past, model = dataset_of(split["past"]), model_of(options.model)
    curve: list[float] = []
    while len(curve) < MAX_EPOCHS and len(curve) - 1 - int(np.argmax(curve or [0])) < PATIENCE:
        model.fit_partial(past, min_epochs=1, max_epochs=1)
        lists = lists_of(model, past, split["validation_users"], CUTOFF, repeats=repeats)
        curve.append(ndcg(lists, split["validation_targets"], split["validation_offsets"]))
        if time.process_time() > FIT_SHARE * options.cpu_seconds:
            break
    epochs = int(np.argmax(curve)) + 1
    seed_everything(options.seed)
    known, model = dataset_of(split["known"]), model_of(options.model)
    model.fit_partial(known, min_epochs=epochs, max_epochs=epochs)
    np.save(options.lists, lists_of(model, known, split["test_users"], int(split["k"]), repeats=repeats))
    told = {"epochs": epochs, "validation": [round(value, 4) for value in curve], "cpu_seconds": time.process_time()}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
