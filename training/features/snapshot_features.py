"""Item features of a snapshot, as the settings want them.

Arrives: a catalogue and which of its items the training window knows, from `graphstore.snapshots.snapshot`. Leaves:
`item.x` and the encoder's state. Next: the snapshot keeps both. A training run fits an encoder of its own, since its
windows may be others (`training.lifecycle.trial`).
"""

from functools import partial
from typing import Any

from torch import Tensor

from graphstore.arrays import IntArray
from graphstore.catalogue import Catalogue
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import trained_items
from graphstore.snapshots.snapshot import Featurize
from training.config import NAME_ENCODING, TEXT_ENCODER, Encoding, TrainingConfig
from training.features.items import ItemEncoder, fitted_on, one_hot_fits
from training.features.text_encoder import full_name


class OtherFeatures(ValueError):
    """The snapshot was made before, with features by other encoders."""


def featurize(
    catalogue: Catalogue,
    trained: IntArray,
    *,
    text_encoder: str = TEXT_ENCODER,
    name_encoding: Encoding = NAME_ENCODING,
) -> tuple[Tensor, dict[str, Any]]:
    """Features of every item [num_items, width] by an encoder fitted on the items at `trained`, and its state."""
    encoder = fitted_on(catalogue, trained, text_encoder=text_encoder, name_encoding=name_encoding)
    return encoder.transform(catalogue), encoder.state()


def featurizer(config: TrainingConfig) -> Featurize:
    """`featurize` with the encoders of the settings."""
    return partial(featurize, text_encoder=config.text_encoder, name_encoding=config.name_encoding)


def check_features(snapshot: Snapshot, config: TrainingConfig) -> None:
    """Raises `OtherFeatures` where the snapshot's texts or names were read by another encoder than the settings name.

    A snapshot is named by time and row and never changes, so asking for the same pair gives what was made first.
    """
    if not (state := snapshot.encoders.get("item")):
        return
    encoder = ItemEncoder.from_state(state)
    made, wanted = encoder.text.name, full_name(config.text_encoder)
    if made == wanted and (one_hot := config.name_encoding == "one-hot") != _is_one_hot(encoder, snapshot, one_hot):
        made, wanted = ("hashed names", "one-hot names") if one_hot else ("one-hot names", "hashed names")
    if made != wanted:
        raise OtherFeatures(
            f"snapshot {snapshot.snapshot_id} was made before, with {made}, and a snapshot never changes: take one as "
            f"of another time for {wanted}, or delete {snapshot.path}"
        )


def _is_one_hot(encoder: ItemEncoder, snapshot: Snapshot, wanted: bool) -> bool:
    """Whether names have columns of their own; what is hashed since no names fit counts as what is `wanted`."""
    if encoder.categories.vocabulary is not None or encoder.brands.vocabulary is not None:
        return True
    return wanted and not one_hot_fits(encoder, snapshot.catalogue, trained_items(snapshot.stores))
