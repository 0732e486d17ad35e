"""Configuration file: JSON with only the changed settings.

Arrives: a file that `training.search.tune` or a person wrote. Leaves: `TrainingConfig`, in which the file overrides the
environment. Next: `sagestream train --config` uses it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from graphstore.files import read_json, written_whole
from training.config import TrainingConfig

MAX_BYTES = 1_000_000


class ConfigFileError(ValueError):
    """The file is not a valid configuration. The message names the field."""


def load_config(path: Path) -> TrainingConfig:
    """Return the settings of the environment, overridden by the settings in the file.

    The file is a JSON object with fields of `TrainingConfig`. `sage` is an object with fields of `SageConfig`. Every
    field is optional. Raises `ConfigFileError`, and `OSError` when the file cannot be read.
    """
    changes = read_json(path, max_bytes=MAX_BYTES, error=ConfigFileError)
    if not isinstance(changes, dict):
        raise ConfigFileError(f"{path} holds no JSON object")
    # The settings class ignores unknown names, because the environment has many. In a file they are errors.
    unknown = [name for name in changes if name not in TrainingConfig.model_fields]
    if unknown:
        raise ConfigFileError(f"{path}: there is no setting {unknown[0]!r}")
    try:
        return TrainingConfig.model_validate(changes)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigFileError(f"{path}: {field}: {first['msg']}") from error


def save_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Write `changes`, in the form that `load_config` reads, and replace an older file atomically."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(changes, indent=1, allow_nan=False) + "\n", encoding="utf-8")
