"""Text encoder of items: TF-IDF by default, or a sentence transformer.

Arrives: the setting `text_encoder` and texts, or a saved state. Leaves: a fitted `TextEncoder`. Next:
`training.features.items`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from torch import Tensor

from training.features.sentence_encoder import SentenceEncoder, resolve_model
from training.features.tfidf import TfidfEncoder

SEPARATOR = ":"

TEXT_DIM = 32
SENTENCE_DIM = 64
"""Columns of a text. With categories and brand, a content term with 64 principal components of a sentence transformer
ranks 5 % better than with 32."""


class TextEncoder(Protocol):
    """Encodes texts. A class method of each encoder fits it on the texts of a training window."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        """The value of the setting: the kind, followed by the model if there is one."""
        ...

    @property
    def dim(self) -> int:
        """The number of columns of a text."""
        ...

    def transform(self, texts: Sequence[str]) -> Tensor:
        """Return rows [len(texts), dim] float32. A row depends only on its own text. Without words it is zero."""
        ...

    def state(self) -> dict[str, Any]:
        """Return tensors and plain values, with `kind`, for `torch.save` and `torch.load(weights_only=True)`."""
        ...


def fit_text_encoder(name: str, texts: Sequence[str], *, dim: int | None = None, seed: int) -> TextEncoder:
    """Fit `tfidf` or `sentence-transformers:<path or name>` with at most `dim` columns (None: the default).

    Raises `ValueError` for an unknown name, and `training.features.sentence_encoder.TextModelError` when the model is
    missing.
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
    """Return the name of a fitted encoder: a relative directory becomes an absolute path."""
    kind, _, model = name.partition(SEPARATOR)
    return name if kind != SentenceEncoder.kind else f"{kind}{SEPARATOR}{resolve_model(model.strip())}"


def text_encoder_from_state(state: dict[str, Any]) -> TextEncoder:
    """Restore an encoder from a state. An old state without a kind is TF-IDF."""
    kind = state.get("kind", TfidfEncoder.kind)
    if kind == SentenceEncoder.kind:
        return SentenceEncoder.from_state(state)
    if kind == TfidfEncoder.kind:
        return TfidfEncoder.from_state(state)
    raise ValueError(f"no text encoder {kind!r} in this version")
