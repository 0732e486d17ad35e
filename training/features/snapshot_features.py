"""Item features of a snapshot, by the encoders in the settings.

Arrives: a catalogue and the item rows of the training window, from `graphstore.snapshots.snapshot`. Leaves: `item.x`
and the state of the encoder. Next: the snapshot saves both. A training run fits its own encoder, because its windows
may differ (`training.lifecycle.trial`).
"""

from functools import partial
from typing import Any

from torch import Tensor

from graphstore.arrays import IntArray
from graphstore.catalogue import Catalogue
from graphstore.errors import UserError
from graphstore.snapshots.files import Snapshot
from graphstore.snapshots.graph import trained_items
from graphstore.snapshots.snapshot import Featurize
from training.config import NAME_ENCODING, TEXT_ENCODER, Encoding, TrainingConfig
from training.features.items import ItemEncoder, fit_item_encoder, one_hot_fits
from training.features.text_encoder import full_name


class FeatureMismatch(UserError):
    """The snapshot already exists, and its features come from other encoders."""


def featurize(
    catalogue: Catalogue,
    trained: IntArray,
    *,
    text_encoder: str = TEXT_ENCODER,
    name_encoding: Encoding = NAME_ENCODING,
) -> tuple[Tensor, dict[str, Any]]:
    """Return features of all items [num_items, width] and the state of an encoder that is fitted on items `trained`."""
    encoder = fit_item_encoder(catalogue, trained, text_encoder=text_encoder, name_encoding=name_encoding)
    return encoder.transform(catalogue), encoder.state()


def featurizer(config: TrainingConfig) -> Featurize:
    """Return `featurize` with the encoders in the settings."""
    return partial(featurize, text_encoder=config.text_encoder, name_encoding=config.name_encoding)


def check_features(snapshot: Snapshot, config: TrainingConfig) -> None:
    """Raise `FeatureMismatch` when the encoders of the snapshot differ from the settings.

    A time and a row identify a snapshot, which never changes. A second request for the same pair returns the first one.
    """
    if not (state := snapshot.encoders.get("item")):
        return
    encoder = ItemEncoder.from_state(state)
    made, wanted = encoder.text.name, full_name(config.text_encoder)
    if made == wanted and (one_hot := config.name_encoding == "one-hot") != _is_one_hot(encoder, snapshot, one_hot):
        made, wanted = ("hashed names", "one-hot names") if one_hot else ("one-hot names", "hashed names")
    if made != wanted:
        raise FeatureMismatch(
            f"snapshot {snapshot.snapshot_id} was made before, with {made}, and a snapshot never changes: take one as "
            f"of another time for {wanted}, or delete {snapshot.path}"
        )


def _is_one_hot(encoder: ItemEncoder, snapshot: Snapshot, wanted: bool) -> bool:
    """Return whether names have one-hot columns. Names that are hashed because they are too many count as `wanted`."""
    if encoder.categories.vocabulary is not None or encoder.brands.vocabulary is not None:
        return True
    return wanted and not one_hot_fits(encoder, snapshot.catalogue, trained_items(snapshot.stores))
