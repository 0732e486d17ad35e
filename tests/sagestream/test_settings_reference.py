"""The settings as they are written down, held to the code: `make docs` writes the files."""

import json
import re
from pathlib import Path

import pytest

from sagestream.settings import CONFIGS, variables
from sagestream.settings_reference import EXAMPLE_CHANGES, FILES, example_environment, settings_page, write
from training.config import SageConfig, TrainingConfig, TrainingFile
from training.config_file import load_config

ROOT = Path(__file__).parents[2]
SETTINGS = {name: config.model_fields[name] for config in CONFIGS.values() for name in variables(config)}


@pytest.mark.parametrize("name", FILES)
def test_the_committed_file_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == FILES[name](), "run `make docs`"


def test_the_files_are_written(tmp_path: Path) -> None:
    write(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} == set(FILES)
    write(tmp_path)
    assert (tmp_path / "docs" / "settings.md").read_text(encoding="utf-8") == settings_page()


def test_every_setting_stands_in_the_page_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", settings_page(), re.MULTILINE))
    fields = {name: field for kind in (TrainingFile, SageConfig) for name, field in kind.model_fields.items()}
    del fields["sage"]
    described = {f"SAGESTREAM_{name.upper()}": field for name, field in SETTINGS.items()} | fields
    assert rows.keys() == described.keys()
    for name, field in described.items():
        assert field.description, name
        assert rows[name].replace("\\<", "<").endswith(f"| {field.description} "), name
    assert rows["SAGESTREAM_RETENTION_DAYS"].startswith(" `0` | days | 0 to 36,500 |")
    assert rows["SAGESTREAM_GATE_ALPHA"].startswith(" `0.05` |  | above 0, below 0.5 |")
    assert rows["SAGESTREAM_API_KEY"].startswith("  |  |  |")
    assert rows["half_lives_ranks"].startswith(' `[20.0, 100.0, "inf"]` | items |')
    assert rows["ties"].startswith(" `basket` |  | basket, random |")


def test_the_example_is_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable stands in it, and with all of them set nothing changes."""
    defaults = {name: config().model_dump() for name, config in CONFIGS.items()}
    written = dict(re.findall(r"^# (SAGESTREAM_\w+)=(.*)$", example_environment(), re.MULTILINE))
    assert written.keys() == {f"SAGESTREAM_{name.upper()}" for name in SETTINGS}
    for name, value in written.items():
        if value:  # an empty one would be a user name, a key without a letter
            monkeypatch.setenv(name, value)
    assert {name: config().model_dump() for name, config in CONFIGS.items()} == defaults


def test_the_file_of_the_page_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", settings_page(), re.DOTALL)
    assert json.loads(shown) == EXAMPLE_CHANGES
    (tmp_path / "file.json").write_text(shown)
    assert load_config(tmp_path / "file.json", base=TrainingConfig()).sage.dim == 32
