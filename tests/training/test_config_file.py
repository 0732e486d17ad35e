"""A configuration as a file: what it names counts, the environment's settings stay, and a wrong field is named."""

import json
from math import inf

import pytest

from graphstore.errors import UnusableFile
from training.config import SageConfig, TrainingConfig, TrainingFile
from training.config_file import (
    MAX_BYTES,
    ConfigFileError,
    WatchedConfig,
    current_config,
    load_config,
    merge_changes,
    save_config,
)


def test_the_file_names_only_what_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGESTREAM_GATE_MIN_USERS", "7")
    monkeypatch.setenv("SAGESTREAM_GATE_ALPHA", "0.3")
    file = tmp_path / "tuned.json"
    base = TrainingConfig(sage=SageConfig(layers=1, dim=24), retrain_min_events=9)
    save_config(file, {"sage": {"dim": 8, "half_lives_ranks": [3.0, "inf"]}, "blend_l2": 0.5, "gate_alpha": 0.2})
    config = load_config(file, base=base)
    assert (config.sage.dim, config.sage.half_lives_ranks, config.blend_l2) == (8, (3.0, inf), 0.5)
    assert (config.sage.layers, config.retrain_min_events) == (1, 9)
    assert (config.gate_min_users, config.gate_alpha) == (7, 0.2)  # the file counts before the environment
    assert config.sage.negatives == SageConfig().negatives
    save_config(file, {})
    assert load_config(file, base=base) == base
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.json"]


def test_the_file_that_the_settings_name_is_read_anew_each_time(tmp_path, monkeypatch):
    assert current_config(TrainingConfig()) == TrainingConfig()
    file = tmp_path / "tuned.json"
    monkeypatch.setenv("SAGESTREAM_TRAINING_CONFIG", str(file))
    base = TrainingConfig()
    with pytest.raises(UnusableFile):
        current_config(base)
    for dim in (8, 9):
        save_config(file, {"sage": {"dim": dim}})
        assert current_config(base).sage.dim == dim
    assert current_config(base).training_config == file
    assert "training_config" not in json.loads(current_config(base).model_dump_json())  # what a bundle keeps


def test_a_watched_file_that_becomes_wrong_keeps_what_it_said_before(tmp_path, caplog):
    file = tmp_path / "tuned.json"
    save_config(file, {"sage": {"dim": 8}})
    watched = WatchedConfig(TrainingConfig(training_config=file, gate_min_users=7))
    assert (watched.current.sage.dim, watched.current.gate_min_users, watched.problem) == (8, 7, None)
    file.write_text("{")
    assert not watched.refresh()
    assert not watched.refresh()
    assert watched.current.sage.dim == 8
    assert watched.problem is not None
    assert watched.problem.startswith(f"{file} is no JSON")
    assert caplog.text.count("is no JSON") == 1  # not at every look
    file.unlink()
    assert not watched.refresh()
    save_config(file, {})
    assert watched.refresh()
    assert (watched.current.sage.dim, watched.current.gate_min_users, watched.problem) == (64, 7, None)


def test_without_a_file_there_is_nothing_to_watch():
    base = TrainingConfig(gate_min_users=7)
    watched = WatchedConfig(base)
    assert watched.refresh()
    assert watched.current is base


@pytest.mark.parametrize("content", [None, "{", '{"sage": {"width": 3}}'])
def test_a_watched_file_that_is_wrong_at_the_start_is_an_error(tmp_path, content):
    file = tmp_path / "tuned.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises((ConfigFileError, UnusableFile), match=r"tuned\.json"):
        WatchedConfig(TrainingConfig(training_config=file))


def test_an_empty_name_of_a_file_is_none(monkeypatch):
    """As it stands in the example of an environment."""
    monkeypatch.setenv("SAGESTREAM_TRAINING_CONFIG", "")
    assert TrainingConfig().training_config is None


@pytest.mark.parametrize("name", TrainingFile.model_fields)
def test_no_variable_of_the_environment_shapes_a_model(name, monkeypatch):
    monkeypatch.setenv(f"SAGESTREAM_{name.upper()}", "7")
    monkeypatch.setenv("SAGESTREAM_SAGE__DIM", "7")
    assert TrainingConfig() == TrainingConfig.model_construct()


def test_two_sets_of_changes_become_one():
    first = {"sage": {"dim": 8, "layers": 1}, "blend_l2": 0.5}
    later = {"sage": {"dim": 9}, "blend_focus": 1.0}
    assert merge_changes(first, later) == {"sage": {"dim": 9, "layers": 1}, "blend_l2": 0.5, "blend_focus": 1.0}
    assert merge_changes({}, later) == later
    assert merge_changes(first, {}) == first


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"sage": {"dimm": 8}}', "sage.dimm"),
        ('{"sage": {"dim": 0}}', "sage.dim"),
        ('{"sage": {"learning_rate": "fast"}}', "sage.learning_rate"),
        ('{"sage": {"layers": 1, "neighbours": [3]}}', "neighbours names 1 hops"),
        ('{"sage": 3}', "sage"),
        ('{"dim": 8}', "'dim'"),
        ('{"blend_l2": -1}', "blend_l2"),
        ("[1]", "no JSON object"),
        ('{"training_config": "other.json"}', "'training_config'"),
        ('{"gate_alpha": 2}', "gate_alpha"),
        ("{", "no JSON"),
        ("\xff", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (" " * (MAX_BYTES + 1), "larger than"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, content, said):
    file = tmp_path / "tuned.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigFileError, match=said):
        load_config(file, base=TrainingConfig())


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnusableFile):
        load_config(tmp_path / "none.json", base=TrainingConfig())


def test_json_without_infinity(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_config(tmp_path / "tuned.json", {"sage": {"half_lives_ranks": [inf]}})
    assert not (tmp_path / "tuned.json").exists()
