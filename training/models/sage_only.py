"""GraphSAGE-only model: fits GraphSAGE alone on a snapshot, in one or more processes, and evaluates it.

Arrives: a snapshot, a `ProcessGroup`. Leaves: a `Recommender`, and its measures on events that it never saw. Next:
`training.export.encoder` and `training.export.batch_lists` accept its bundle. The registry and the gate do not know it.

It is for graphs where one process is too slow. The closed-form terms need seconds and only one process, so one process
still fits the whole blend of `training.lifecycle.run`.
"""

from typing import Any

from graphstore.snapshots.files import Snapshot
from training.blend.blend import Blend
from training.config import TrainingConfig
from training.data.dataset import Dataset, full_split, should_recommend_repeats
from training.data.windows import Window
from training.evaluation.ranking import evaluate
from training.features.items import ItemEncoder, fit_item_encoder
from training.models.recommender import Recommender
from training.options import TrainingOptions
from training.sage.data_parallel import fit_data_parallel
from training.sage.process_group import ProcessGroup
from training.sage.term import SageTerm

KIND = "graphsage alone"

SAGE_BLEND = Blend(
    feature_names=("graphsage",),
    scale=(1.0,),
    warm=(1.0,),
    activity=(0.0,),
    activity_mean=0.0,
    activity_sd=1.0,
    cold=None,
    unknown=(1.0,),
)
"""The blend that returns the term's own score."""


def fit_sage_model(
    snapshot: Snapshot,
    *,
    model_version: str,
    config: TrainingConfig,
    options: TrainingOptions,
    group: ProcessGroup,
) -> tuple[Recommender, dict[str, Any]]:
    """Fit on the past of the snapshot's split, stop early on its validation window, measure on its test window.

    Each process of `group` calls it with the same arguments, and gets the same model and measures. Raises
    `TooFewEvents` when the snapshot cannot be split in three, and the errors of
    `training.sage.data_parallel.fit_data_parallel`.
    """
    dataset = Dataset.from_snapshot(snapshot)
    split = full_split(dataset.log, champion_as_of=None, min_users=config.gate_min_users)
    repeats = should_recommend_repeats(dataset, split, config=config)
    past = dataset.log.between(end=split.validation)
    encoder = fit_item_encoder(
        dataset.catalogue, past.items, text_encoder=config.text_encoder, name_encoding=config.name_encoding
    )
    term = fit_data_parallel(
        past,
        encoder.transform(dataset.catalogue),
        config=config.sage.model_copy(update={"repeats": repeats}),
        options=options,
        group=group,
        validation=split.validation_window(dataset.log, repeats=repeats),
    )
    model = model_of(
        term, dataset, model_version=model_version, as_of=split.validation, repeats=repeats, encoder=encoder
    )
    window = Window.cut(
        dataset.log, start=split.test, repeats=repeats, max_users=config.evaluation_users, seed=options.seed
    )
    return model, evaluate(model.score, window).metrics()


def model_of(
    term: SageTerm, dataset: Dataset, *, model_version: str, as_of: int, repeats: bool, encoder: ItemEncoder | None
) -> Recommender:
    """Return the term as a complete model, over the items of the data set that it was fitted on."""
    return Recommender(
        model_version=model_version,
        kind=KIND,
        as_of=as_of,
        repeats=repeats,
        item_ids=dataset.item_ids,
        item_keys=dataset.item_keys,
        available=dataset.available,
        terms=[term],
        blend=SAGE_BLEND,
        encoder=encoder,
    )
