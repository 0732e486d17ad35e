"""A configuration as a file: what it names counts, the environment's settings stay, and a wrong field is named."""

from math import inf

import pytest
from pydantic import ValidationError

from training.config import SageConfig, TrainingConfig
from training.config_file import MAX_BYTES, ConfigFileError, load_config, save_config


def test_the_file_names_only_what_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("SAGESTREAM_SAGE__LAYERS", "1")
    monkeypatch.setenv("SAGESTREAM_SAGE__DIM", "24")
    monkeypatch.setenv("SAGESTREAM_GATE_MIN_USERS", "7")
    file = tmp_path / "tuned.json"
    save_config(file, {"sage": {"dim": 8, "half_lives_ranks": [3.0, "inf"]}, "blend_l2": 0.5})
    config = load_config(file)
    assert (config.sage.dim, config.sage.half_lives_ranks, config.blend_l2) == (8, (3.0, inf), 0.5)
    assert (config.sage.layers, config.gate_min_users) == (1, 7)
    assert config.sage.negatives == SageConfig().negatives
    save_config(file, {})
    assert load_config(file) == TrainingConfig()
    assert [path.name for path in tmp_path.iterdir()] == ["tuned.json"]


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
        load_config(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_config(tmp_path / "none.json")


def test_the_penalty_may_be_empty_in_the_environment(monkeypatch):
    """As it stands in the example of an environment."""
    monkeypatch.setenv("SAGESTREAM_BLEND_L2", "")
    assert TrainingConfig().blend_l2 is None
    monkeypatch.setenv("SAGESTREAM_BLEND_L2", "0")
    with pytest.raises(ValidationError, match="blend_l2"):
        TrainingConfig()


def test_json_without_infinity(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_config(tmp_path / "tuned.json", {"sage": {"half_lives_ranks": [inf]}})
    assert not (tmp_path / "tuned.json").exists()
