"""Item features of a snapshot, as the settings want them.

Arrives: a catalogue and which of its items the training window knows, from `graphstore.snapshot`. Leaves: `item.x` and
the encoder's state. Next: the snapshot keeps both. A training run fits an encoder of its own, since its windows may be
others (`training.trial`).
"""

from functools import partial
from typing import Any

from torch import Tensor

from graphstore.catalogue import Catalogue
from graphstore.snapshot import Featurize
from graphstore.snapshot_files import Snapshot
from training.config import NAME_ENCODING, TEXT_ENCODER, TrainingConfig
from training.features import ItemEncoder, fitted_on
from training.histories import IntArray
from training.names import Encoding
from training.text_encoder import full_name


class OtherFeatures(ValueError):
    """The snapshot was made before, with features of another text encoder."""


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
    """Raises `OtherFeatures` where the snapshot's texts were read by another encoder than the settings name.

    A snapshot is named by time and row and never changes, so asking for the same pair gives what was made first.
    """
    if not (state := snapshot.encoders.get("item")):
        return
    made, wanted = ItemEncoder.from_state(state).text.name, full_name(config.text_encoder)
    if made != wanted:
        raise OtherFeatures(
            f"snapshot {snapshot.snapshot_id} was made before, with {made}, and a snapshot never changes: take one as "
            f"of another time for {wanted}, or delete {snapshot.path}"
        )
