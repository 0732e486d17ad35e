"""TF-IDF encoder: cleaning, TF-IDF weights and truncated SVD (latent semantic analysis).

Arrives: one text for each item. Leaves: `TfidfEncoder`, which encodes new texts with the fitted vocabulary. Next:
`training.features.text_encoder` selects it or a sentence transformer.

Stop words and lemmas are English. Words of other languages stay nearly unchanged.

Source: Deerwester et al., "Indexing by latent semantic analysis", 1990.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from graphstore.arrays import offsets_of

MAX_WORDS = 20_000
MAX_TEXT_CHARACTERS = 2_000
MAX_LEMMAS = 100_000
"""Size of the cache of lemmas, in words."""

_WORD = re.compile(r"[^\W_]+")


def clean(text: str, *, lemmas: bool) -> list[str]:
    """Return lower-case words without punctuation, English stop words and single characters. Long texts are truncated.

    With `lemmas`, all forms of a word become one word: "boxes" becomes "box".
    """
    words = [word for word in _WORD.findall(text[:MAX_TEXT_CHARACTERS].lower()) if _is_informative(word)]
    return [lemma for lemma in map(_lemma, words) if _is_informative(lemma)] if lemmas else words


def _is_informative(word: str) -> bool:
    return len(word) > 1 and word not in _stop_words()


@cache
def _stop_words() -> frozenset[str]:
    # Imported here: the import takes a second, and a process that only scores does not need it.
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS)


@lru_cache(maxsize=MAX_LEMMAS)
def _lemma(word: str) -> str:
    # Imported here for the same reason: 0.3 s with the dictionary. Rejected: a stemmer, because its stems are not words
    # and "mice" and "mouse" stay different.
    from simplemma import lemmatize

    lemma = str(lemmatize(word, lang="en")).lower()
    return lemma if len(lemma) > 1 else word  # "ss" (stainless steel) would become "s"


@dataclass(frozen=True)
class TfidfEncoder:
    """Encodes a text as its TF-IDF row, projected on the fitted components."""

    kind: ClassVar[str] = "tfidf"

    words: list[str]
    """The vocabulary in sorted order. The index of a word is its column."""
    idf: Tensor  # [num_words] float32
    components: Tensor  # [dim, num_words] float32
    lemmas: bool
    """Whether words are lemmatised, in the fit and in `transform`."""

    @classmethod
    def fit(cls, texts: Sequence[str], *, dim: int, seed: int, lemmas: bool = True) -> Self:
        """Fit on the `MAX_WORDS` most frequent words of at least two texts, with at most `dim` columns."""
        documents = [set(clean(text, lemmas=lemmas)) for text in texts]
        frequencies = Counter(word for document in documents for word in document)
        # The word breaks ties, so the order of the texts has no influence.
        frequent = sorted((-count, word) for word, count in frequencies.items() if count > 1)[:MAX_WORDS]
        words = sorted(word for _, word in frequent)
        counts = np.array([frequencies[word] for word in words])
        idf = torch.from_numpy(np.log((1 + len(texts)) / (1 + counts)) + 1).float()
        encoder = cls(words, idf, torch.zeros(0, len(words)), lemmas)
        dim = min(dim, len(words))
        if not dim:
            return encoder
        if dim == len(words):
            return cls(words, idf, torch.eye(dim), lemmas)
        from sklearn.decomposition import TruncatedSVD

        with np.errstate(invalid="ignore"):  # equal texts: the unused explained variance ratio is NaN
            svd = TruncatedSVD(dim, random_state=seed).fit(encoder._rows(texts))
        return cls(words, idf, torch.from_numpy(svd.components_).float().contiguous(), lemmas)

    @property
    def name(self) -> str:
        return self.kind

    @property
    def dim(self) -> int:
        return self.components.size(0)

    def transform(self, texts: Sequence[str]) -> Tensor:
        """Return rows [len(texts), dim]. A text without a known word has a zero row."""
        return torch.from_numpy(self._rows(texts) @ self.components.numpy().T).float()

    def _rows(self, texts: Sequence[str]) -> "sp.csr_array[Any]":
        """Return TF-IDF unit rows [len(texts), num_words]."""
        column = {word: i for i, word in enumerate(self.words)}
        found = [Counter(column[word] for word in clean(text, lemmas=self.lemmas) if word in column) for text in texts]
        offsets = offsets_of([len(row) for row in found])
        columns = np.array([i for row in found for i in row], dtype=np.int64)
        counts = np.array([count for row in found for count in row.values()], dtype=np.float32)
        weights = (1 + np.log(counts)) * self.idf.numpy()[columns]
        row_of = np.repeat(np.arange(len(found)), np.diff(offsets))
        lengths = np.sqrt(np.bincount(row_of, weights**2, minlength=len(found)))
        values = (weights / lengths[row_of]).astype(np.float32)
        return sp.csr_array((values, columns, offsets), shape=(len(found), len(self.words)))

    def state(self) -> dict[str, Any]:
        """Return the state: tensors, a list of words and a flag."""
        return {
            "kind": self.kind,
            "words": self.words,
            "idf": self.idf,
            "components": self.components,
            "lemmas": self.lemmas,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore an encoder from its state. An old state without the flag has no lemmas."""
        return cls(
            words=list(state["words"]),
            idf=state["idf"],
            components=state["components"],
            lemmas=bool(state.get("lemmas", False)),
        )
