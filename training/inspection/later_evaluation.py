"""Later evaluation: measures a registered model on events after its `as_of`.

Arrives: a model as published, and a newer snapshot. Leaves: its `Evaluation` with list measures and slices. Next:
`sagestream evaluate` shows them, `training.inspection.ranking_curves` ranks the same window.
"""

from collections.abc import Sequence
from typing import Any

from graphstore.snapshots.files import Snapshot
from training.data.dataset import Dataset, TooFewEvents
from training.data.event_log import EventLog
from training.data.windows import Window
from training.evaluation.beyond_accuracy import KnownItems, Slices, list_measures
from training.evaluation.ranking import CUTOFFS, evaluate
from training.models.recommender import Recommender


def later_window(
    model: Recommender, snapshot: Snapshot, *, max_users: int, seed: int = 0
) -> tuple[Dataset, EventLog, Window]:
    """Return the snapshot in the model's item order, the events that the model knows, and the window of later events.

    Raises `TooFewEvents` when there are no later events.
    """
    dataset = Dataset.from_snapshot(snapshot, first_keys=model.item_keys, first_ids=model.item_ids)
    known = dataset.log.between(end=model.as_of)
    window = Window.cut(dataset.log, start=model.as_of, repeats=model.repeats, max_users=max_users, seed=seed)
    if not len(window):
        raise TooFewEvents(
            f"snapshot {snapshot.snapshot_id} holds nothing to judge {model.model_version} on: no event that is new "
            f"to it. Take in newer events, then run `sagestream preprocess`."
        )
    return dataset, known, window


def later_evaluation(
    model: Recommender, snapshot: Snapshot, *, max_users: int, seed: int = 0, cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Any]:
    """Return measures over at most `max_users` users, on events from the model's `as_of` on. The model never saw these.

    Histories end at `as_of`. Items that came later count as targets, but the model cannot list them. Raises
    `TooFewEvents` when the snapshot holds no newer events.
    """
    dataset, known, window = later_window(model, snapshot, max_users=max_users, seed=seed)
    evaluation = evaluate(model.aligned_scorer(dataset.item_keys), window, cutoffs=cutoffs)
    if not evaluation.finite:
        raise ValueError(f"{model.model_version}: some scores are not finite")
    means = {name: float(values.mean()) for name, values in evaluation.per_user.items()}
    slices = Slices.of(window, known).means(evaluation.per_user, evaluation.lists, cutoffs=cutoffs)
    return {
        "model_version": model.model_version,
        "snapshot_id": snapshot.snapshot_id,
        "since": model.as_of,
        "users": len(window),
        **means,
        **list_measures(evaluation.lists, window, KnownItems.of(known), cutoffs=cutoffs),
        **slices,
    }
