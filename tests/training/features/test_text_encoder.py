"""Text encoders by name, and back from a bundle."""

import pytest

from training.config import TEXT_ENCODER, TrainingConfig
from training.features.sentence_encoder import TextModelError
from training.features.text_encoder import TEXT_DIM, fit_text_encoder, full_name, text_encoder_from_state
from training.features.tfidf import TfidfEncoder

TEXTS = ["red pasta sauce", "green pasta sauce", "garden hose", "green garden hose"]


def test_tfidf_is_the_default():
    encoder = fit_text_encoder(TEXT_ENCODER, TEXTS, seed=0)
    assert isinstance(encoder, TfidfEncoder)
    assert encoder.lemmas
    assert encoder.name == full_name(TEXT_ENCODER) == TEXT_ENCODER
    many = [f"{word} {other}" for word in map(str, range(10, 90)) for other in map(str, range(10, 12))]
    assert fit_text_encoder(TEXT_ENCODER, many, seed=0).dim == TEXT_DIM
    assert fit_text_encoder(TEXT_ENCODER, many, dim=3, seed=0).dim == 3


@pytest.mark.parametrize("name", ["word2vec", "", "sentence-transformers", "sentence-transformers: ", "tfidf:x"])
def test_another_name_is_refused(name):
    with pytest.raises(ValueError, match="no text encoder"):
        fit_text_encoder(name, TEXTS, seed=0)
    with pytest.raises(ValueError, match="text_encoder"):
        TrainingConfig(text_encoder=name)


def test_a_model_that_is_not_here_is_refused():
    for model in ("nobody/nothing-of-this-name", "nothing-of-this-name", "../a b"):
        with pytest.raises(TextModelError, match="Nothing is downloaded"):
            fit_text_encoder(f"sentence-transformers:{model}", TEXTS, seed=0)


def test_a_directory_without_weights_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle, perhaps")
    with pytest.raises(TextModelError, match="no weights"):
        fit_text_encoder(f"sentence-transformers:{tmp_path}", TEXTS, seed=0)


def test_a_directory_is_named_from_the_root(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert full_name("sentence-transformers:model") == f"sentence-transformers:{tmp_path.resolve() / 'model'}"
    assert full_name("sentence-transformers:other") == "sentence-transformers:other"


def test_a_kind_of_a_later_version_is_refused():
    state = fit_text_encoder(TEXT_ENCODER, TEXTS, seed=0).state()
    assert text_encoder_from_state(state).name == TEXT_ENCODER
    with pytest.raises(ValueError, match="mind-reading"):
        text_encoder_from_state({**state, "kind": "mind-reading"})
