"""Bundle check: loads a model in a process of its own and looks whether its scores are finite.

Arrives: the bundle of a model that a person wants to promote. Leaves: nothing, or the reason why it cannot serve. Next:
`sagestream models promote` makes it the champion.

A process of its own, because a bundle that is too large for the memory ends the process that loads it.
"""

from pathlib import Path

from graphstore.errors import UserError
from graphstore.progress import Progress
from training.lifecycle.registry import ModelRow
from training.process import FaultInProcess, SpawnedProcess, SpawnedProcessFailed


class UnusableModel(UserError):
    """The model cannot serve. The message says why."""


def check_model(model: ModelRow) -> None:
    """Check the bundle of a model. Raises `UnusableModel`. A pruned one has no bundle: the registry refuses it."""
    if model.pruned_at is None:
        check_bundle(Path(model.bundle))


def check_bundle(path: Path) -> None:
    """Load the bundle and score an empty history and one of its first items. Raises `UnusableModel`."""
    try:
        with SpawnedProcess() as process:
            process.call(score_bundle, path)
    except (SpawnedProcessFailed, FaultInProcess) as error:
        raise UnusableModel(f"{path.name} cannot serve: {str(error).strip().rpartition(chr(10))[2]}") from error


def score_bundle(path: Path, _progress: Progress) -> None:
    """Load and score, in the process. Raises `UnusableModel`, and `BundleError` for a damaged bundle."""
    import numpy as np  # torch and its friends load only here

    from graphstore.tables import EVENT_TYPES
    from training.models.bundle import load_bundle

    model = load_bundle(path)
    if not model.num_items:
        raise UnusableModel("it knows no item")
    purchase = EVENT_TYPES.index("purchase")
    bought = [(int(key), model.as_of - 1 - place, purchase) for place, key in enumerate(model.item_keys[:3])]
    with np.errstate(over="ignore", invalid="ignore"):  # the count below tells of them
        scores = model.score(model.histories([[], bought]), as_of=model.as_of).numpy()
    unusable = int((~np.isfinite(scores)).sum())
    if unusable:
        raise UnusableModel(f"{unusable} of {scores.size} scores are not finite")
