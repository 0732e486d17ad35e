"""Training file: a configuration as JSON with only the changed settings.

Arrives: a file that `training.search.tune` or a person wrote. Leaves: `TrainingConfig`, in which the file overrides the
environment. Next: `sagestream train --config` uses it. The scheduler and all other readers use the file that
`SAGESTREAM_TRAINING_CONFIG` names.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from graphstore.errors import UserError
from graphstore.files import read_json, written_whole
from training.config import TrainingConfig

logger = logging.getLogger(__name__)

MAX_BYTES = 1_000_000
OWN_NAME = "training_config"
"""The field that holds the path of the file. The file itself may not contain it."""


class ConfigFileError(UserError):
    """The file is not a valid configuration. The message names the field."""


def load_config(path: Path, *, base: TrainingConfig) -> TrainingConfig:
    """Return the settings of `base`, overridden by the settings in the file.

    The file is a JSON object with fields of `TrainingConfig`. `sage` is an object with fields of `SageConfig`. Every
    field is optional. Raises `ConfigFileError`, and `UnusableFile` when the file cannot be read.
    """
    changes = load_changes(path)
    given = {**base.model_dump(exclude_unset=True), OWN_NAME: base.training_config}
    try:
        return TrainingConfig(**merge_changes(given, changes))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigFileError(f"{path}: {field}: {first['msg']}") from error


def current_config(base: TrainingConfig) -> TrainingConfig:
    """Return `base`, overridden by the training file that it names, if any. Raises the errors of `load_config`."""
    return base if base.training_config is None else load_config(base.training_config, base=base)


class WatchedConfig:
    """A configuration whose training file may change while a process runs.

    `current` is the result of the last successful read. `problem` is the error of the last read, None after a
    successful read. The constructor reads the file for the first time and raises the errors of `load_config`.
    """

    def __init__(self, base: TrainingConfig) -> None:
        self._base = base
        self.current = current_config(base)
        self.problem: str | None = None

    def refresh(self) -> bool:
        """Read the file again and return whether it is valid."""
        try:
            self.current, problem = current_config(self._base), None
        except UserError as error:
            problem = str(error)
        if problem is not None and problem != self.problem:
            logger.error("the training file is not valid: %s", problem)
        self.problem = problem
        return problem is None


def load_changes(path: Path) -> dict[str, Any]:
    """Return the content of the file. Its values are not checked. Raises `ConfigFileError` and `UnusableFile`."""
    changes = read_json(path, max_bytes=MAX_BYTES, error=ConfigFileError)
    if not isinstance(changes, dict):
        raise ConfigFileError(f"{path} holds no JSON object")
    # The settings class ignores unknown names, because the environment has many. In a file they are errors.
    unknown = [name for name in changes if name not in TrainingConfig.model_fields or name == OWN_NAME]
    if unknown:
        raise ConfigFileError(f"{path}: there is no setting {unknown[0]!r}")
    return changes


def merge_changes(changes: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return both together. `later` overrides `changes`; under `sage` field by field."""
    merged = {**changes, **later}
    if isinstance(before := changes.get("sage"), dict) and isinstance(after := later.get("sage"), dict):
        merged["sage"] = {**before, **after}
    return merged


def save_config(path: Path, changes: Mapping[str, Any]) -> None:
    """Write `changes`, in the form that `load_config` reads, and replace an older file atomically."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(changes, indent=1, allow_nan=False) + "\n", encoding="utf-8")
