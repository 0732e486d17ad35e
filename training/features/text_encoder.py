"""What reads the words of an item: TF-IDF by default, a sentence transformer where one is named.

Arrives: the name of an encoder, as the setting `text_encoder` has it, and texts. Leaves: a fitted `TextEncoder`, or the
one that a bundle kept. Next: `training.features.items`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from training.features.sentence_encoder import SentenceEncoder, located
from training.features.tfidf import TfidfEncoder

SEPARATOR = ":"

TEXT_DIM = 32
SENTENCE_DIM = 64
"""Columns of a text. Beside categories and brand, a content term by 64 principal directions of a sentence transformer
ranks 5 % better than one by 32."""


class TextEncoder(Protocol):
    """Fitted on the texts of a training window by a class method of its own; from then on the same for all."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """As the setting has it: the kind, and the model where there is one."""
        ...

    @property
    def dim(self) -> int:
        """How many columns a text has."""
        ...

    def transform(self, texts: Sequence[str]) -> Tensor:
        """[len(texts), dim] float32, a row depending on its text alone; zeros where there is nothing to read."""
        ...

    def state(self) -> dict[str, Any]:
        """Tensors and JSON-able values, `kind` among them: for `torch.save`, and `torch.load` with weights_only."""
        ...


def fit_text_encoder(name: str, texts: Sequence[str], *, dim: int | None = None, seed: int) -> TextEncoder:
    """`tfidf`, or `sentence-transformers:<path or name>`; at most `dim` columns, None: as many as the encoder's own.

    Raises `ValueError` for another name, `training.features.sentence_encoder.TextModelError` where the model is not
    there.
    """
    kind, _, model = name.partition(SEPARATOR)
    if name == TfidfEncoder.kind:
        return TfidfEncoder.fit(texts, dim=dim or TEXT_DIM, seed=seed)
    if kind == SentenceEncoder.kind and model.strip():
        return SentenceEncoder.fit(texts, model=model.strip(), dim=dim or SENTENCE_DIM)
    raise ValueError(
        f"no text encoder {name!r}: there are {TfidfEncoder.kind} and {SentenceEncoder.kind}:<path or name>"
    )


def full_name(name: str) -> str:
    """The name as a fitted encoder gives it: a directory is found from anywhere."""
    kind, _, model = name.partition(SEPARATOR)
    return name if kind != SentenceEncoder.kind else f"{kind}{SEPARATOR}{located(model.strip())}"


def text_encoder_from_state(state: dict[str, Any]) -> TextEncoder:
    """The encoder of a bundle; one without a kind is of the time when there was only TF-IDF."""
    kind = state.get("kind", TfidfEncoder.kind)
    if kind == SentenceEncoder.kind:
        return SentenceEncoder.from_state(state)
    if kind == TfidfEncoder.kind:
        return TfidfEncoder.from_state(state)
    raise ValueError(f"no text encoder {kind!r} in this version")
