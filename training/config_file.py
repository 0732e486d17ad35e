"""A configuration as a file: JSON that names only what it changes.

Arrives: what `training.search.tune` found, or what somebody wrote by hand. Leaves: `TrainingConfig`, the environment's
settings with those of the file over them. Next: `sagestream train --config` runs with it.
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
    """The file is no configuration; the message names the field."""


def load_config(path: Path) -> TrainingConfig:
    """The settings of the environment, and over them those that the file names.

    An object of the fields of `TrainingConfig`; under `sage` those of `SageConfig`, of which it may name a part, too.
    Raises `ConfigFileError`, and `OSError` where the file cannot be read.
    """
    changes = read_json(path, max_bytes=MAX_BYTES, error=ConfigFileError)
    if not isinstance(changes, dict):
        raise ConfigFileError(f"{path} holds no JSON object")
    # The settings class ignores what it does not know, because the environment is full of it: a file is not.
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
    """Write `changes` (as `load_config` takes them) in the place of an older file, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(changes, indent=1, allow_nan=False) + "\n", encoding="utf-8")
