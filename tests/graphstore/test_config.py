"""Secrets from files, and variables that are set to nothing."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from graphstore.addresses import REDIS_EXAMPLE
from graphstore.config import LARGEST_SECRET, GraphstoreConfig
from sagestream.error_messages import message
from sagestream.settings import foreign_variables, secrets
from serving.config import ServingConfig
from stream.config import StreamConfig


def test_a_file_holds_a_secret_or_a_url_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {"DATABASE_URL": "postgresql://u:p%40@db/shop", "API_KEY": "a key", "KAFKA_SASL_PASSWORD": "word"}
    for name, content in contents.items():
        (tmp_path / name).write_text(f"{content}\n")
        monkeypatch.setenv(f"SAGESTREAM_{name}_FILE", str(tmp_path / name))
        monkeypatch.setenv(f"SAGESTREAM_{name}", "")
    assert GraphstoreConfig().database_url == contents["DATABASE_URL"]
    key, password = ServingConfig().api_key, StreamConfig().kafka_sasl_password
    assert key is not None
    assert password is not None
    assert (key.get_secret_value(), password.get_secret_value()) == ("a key", "word")
    assert foreign_variables(f"SAGESTREAM_{name.upper()}_FILE" for name in secrets()) == []
    assert foreign_variables(["SAGESTREAM_WORKER_ID_FILE"]) != []


@pytest.mark.parametrize(
    ("content", "variable", "said"),
    [
        (None, "", "SAGESTREAM_REDIS_URL_FILE: {path}: No such file or directory"),
        (b" \n", "", "SAGESTREAM_REDIS_URL_FILE: {path} is empty, or larger than a secret"),
        (b"x" * (LARGEST_SECRET + 1), "", "SAGESTREAM_REDIS_URL_FILE: {path} is empty, or larger than a secret"),
        (b"redis://h", "redis://i", "SAGESTREAM_REDIS_URL and SAGESTREAM_REDIS_URL_FILE are both set: keep one"),
    ],
)
def test_a_file_that_cannot_be_the_secret(
    content: bytes | None, variable: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SAGESTREAM_REDIS_URL_FILE", str(path))
    monkeypatch.setenv("SAGESTREAM_REDIS_URL", variable)
    with pytest.raises(SettingsError) as refused:
        GraphstoreConfig()
    assert message(refused.value) == said.format(path=path)


def test_a_variable_that_is_set_to_nothing_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "RETENTION_DAYS", "STATE_DIR"):
        monkeypatch.setenv(f"SAGESTREAM_{name}", "")
    assert GraphstoreConfig().redis_url == REDIS_EXAMPLE
    assert GraphstoreConfig().retention_days == 0
