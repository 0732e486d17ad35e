"""Outside: RecTools' SASRec, eSASRec and HSTU beside our SASRec, on one split with one budget.

Arrives: a table, a split, the interpreter of an environment that has RecTools. Leaves: NDCG and recall of each model,
as a table or JSON. Next: docs/benchmarks.md. Start it as `python -m benchmarks.outside`.

RecTools 0.19 cannot be installed beside our own requirements. Make it an environment of its own:

    python -m venv rectools-env
    rectools-env/bin/pip install torch==2.13.0 'rectools[torch]==0.19.0'

Each fit runs in a process with one thread. Both sides see the same events, choose their epochs or steps on the same
validation users, and rank all items. `--minutes` bounds the CPU time of RecTools' choice and fit; our baseline stops
by itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.meters import write_json
from graphstore.arrays import IntArray
from sagestream.datasets import TableWords
from sagestream.printable import PlainConsole
from sagestream.stages import Stages
from sagestream.verbs.benchmark_input import divided_table, read_table
from stream.sources.source import Reading
from training.baselines.sasrec import fit_sasrec
from training.data.event_log import EventLog
from training.data.splits import EvaluationSplit
from training.evaluation.ranking import evaluate_lists, recommend
from training.options import TrainingOptions

MODELS = ("sasrec", "esasrec", "hstu")
K = 20
SHOWN = {"NDCG@20": f"ndcg@{K}", "Recall@20": f"recall@{K}"}


def write_split(split: EvaluationSplit, path: Path) -> None:
    """Write what a model may see, as arrays: never the targets of the test."""
    np.savez(
        path,
        past=_rows(split.past),
        known=_rows(split.known),
        validation_users=split.validation.users,
        validation_targets=split.validation.targets,
        validation_offsets=split.validation.offsets,
        test_users=split.test.users,
        repeats=split.test.repeats,
        k=K,
    )


def _rows(log: EventLog) -> IntArray:
    return np.stack([log.users, log.items, log.times], axis=1)


def fit_outside(split: EvaluationSplit, python: Path, *, model: str, seconds: float, seed: int) -> dict[str, Any]:
    """Return the figures of one model of RecTools. Raises `RuntimeError` with the end of its output when it fails."""
    with tempfile.TemporaryDirectory() as directory:
        prepared, lists = Path(directory, "split.npz"), Path(directory, "lists.npy")
        write_split(split, prepared)
        command = [str(python), str(Path(__file__).with_name("rectools_fit.py")), str(prepared), str(lists)]
        command += ["--model", model, "--cpu-seconds", str(seconds), "--seed", str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory)
        if done.returncode:
            raise RuntimeError(f"{model} of RecTools ended with {done.returncode}:\n{done.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told | _figures(np.load(lists), split)


def fit_own(split: EvaluationSplit, *, seed: int) -> dict[str, Any]:
    """Return the figures of our own SASRec."""
    begun = time.process_time()
    fitted = fit_sasrec(split, TrainingOptions(seed=seed))
    lists, _ = recommend(fitted, split.test, k=K)
    return {"cpu_seconds": time.process_time() - begun} | _figures(lists, split)


def _figures(lists: IntArray, split: EvaluationSplit) -> dict[str, float]:
    metrics = evaluate_lists(lists, split.test, cutoffs=(K,)).metrics()
    return {name: round(metrics[metric], 4) for name, metric in SHOWN.items()}


def main() -> int:
    """Fit all models for all seeds, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, required=True, help="an interpreter that has RecTools")
    parser.add_argument("--interactions", required=True, help="a table, or complete-journey")
    parser.add_argument("--split", choices=("temporal", "leave-last-out"), default="leave-last-out")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--minutes", type=float, default=10.0, help="CPU minutes of each fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True, metavar="OUT")
    options = parser.parse_args()
    torch.set_num_threads(1)
    stages, reading = Stages(PlainConsole(stderr=True)), Reading()
    words = TableWords(no_times=options.split == "leave-last-out")
    table = read_table(options.interactions, words, reading, stages)
    draws, _ = divided_table(
        table, None, reading, split=options.split, repeats=False, min_item_users=1, max_users=None, stages=stages
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in range(options.seeds):
        split = draws.split(seed)
        found.setdefault("sasrec, ours", []).append(fit_own(split, seed=seed))
        for model in options.models:
            figures = fit_outside(split, options.python, model=model, seconds=60 * options.minutes, seed=seed)
            found.setdefault(f"{model}, RecTools", []).append(figures)
            write_json(options.json, found)
    print(f"| model | {' | '.join(SHOWN)} | CPU s |", "|---|---|---|---|", sep="\n")
    for name, runs in found.items():
        cells = [f"{np.mean([run[metric] for run in runs]):.4f}" for metric in SHOWN]
        print(f"| {name} | {' | '.join(cells)} | {np.mean([run['cpu_seconds'] for run in runs]):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
