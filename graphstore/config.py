"""Settings of the graph store, read from the environment once, in main."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from graphstore.addresses import REDIS_EXAMPLE, check_database_url, check_redis_url
from graphstore.errors import UserError
from graphstore.logs import LogFormat
from graphstore.redis.lifetime import VISITOR_DAYS

PREFIX = "SAGESTREAM_"
"""What the name of every variable of the environment begins with, in all packages."""


FILE_SUFFIX = "_FILE"
"""What the name of a variable ends in that names a file with a secret, instead of the secret."""

LARGEST_SECRET = 65_536
"""Bytes."""

SNAPSHOT_READERS = 1
"""Connections that read the events of a snapshot at the same time."""

SECRET_URLS = ("database_url", "snapshot_database_url", "redis_url")
"""URLs that may hold a password."""


def holds_secret(name: str, field: FieldInfo) -> bool:
    """Return whether a setting may hold a secret: it is never printed, and a file may hold it."""
    return name in SECRET_URLS or "Secret" in str(field.annotation)


class SecretFileError(UserError):
    """The file of a secret cannot be read, or the secret is set twice."""


class SecretFiles(EnvSettingsSource):
    """Secrets from files: `SAGESTREAM_API_KEY_FILE` names the file that holds `SAGESTREAM_API_KEY`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of the field's file, without white space around it. Raises `ValueError`."""
        if not holds_secret(field_name, field):
            return None, field_name, False
        path, _, _ = super().get_field_value(field, f"{field_name}{FILE_SUFFIX.lower()}")
        if not path:
            return None, field_name, False
        variable = f"{PREFIX}{field_name.upper()}"
        if super().get_field_value(field, field_name)[0]:
            raise SecretFileError(f"{variable} and {variable}{FILE_SUFFIX} are both set: keep one")
        try:
            with Path(path).open("rb") as file:
                content = file.read(LARGEST_SECRET + 1)
        except OSError as error:
            raise SecretFileError(f"{variable}{FILE_SUFFIX}: {path}: {error.strerror}") from None
        if len(content) > LARGEST_SECRET or not (secret := content.decode(errors="replace").strip()):
            raise SecretFileError(f"{variable}{FILE_SUFFIX}: {path} is empty, or larger than a secret")
        return secret, field_name, False


class PackageSettings(BaseSettings):
    """The settings of one package: arguments first, then the environment, then files of secrets.

    An empty variable counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, in the order of their weight."""
        return init_settings, env_settings, SecretFiles(settings_cls)


def _database_url(url: str) -> str:
    return check_database_url(url) if url else url


class LogConfig(PackageSettings):
    """How a process logs. Read before all else, so that an error in another setting is logged in the same form."""

    log_format: LogFormat = Field("text", description="form of a log line of the processes: text, or a JSON object")


class GraphstoreConfig(LogConfig):
    """Where the graph lives, and what one event of each type weighs."""

    state_dir: Path = Field(Path(".sagestream"), description="directory of everything Sagestream keeps on disk")
    database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "", description="SQLAlchemy URL; empty: SQLite in the state directory"
    )
    snapshot_database_url: Annotated[str, AfterValidator(_database_url)] = Field(
        "", description="URL of a replica that snapshots are read from; empty: the database itself"
    )
    snapshot_readers: int = Field(
        SNAPSHOT_READERS, ge=1, le=8, description="connections that read a snapshot's events together (PostgreSQL)"
    )
    redis_url: Annotated[str, AfterValidator(check_redis_url)] = Field(REDIS_EXAMPLE, description="URL of Redis")
    visitor_days: int = Field(
        VISITOR_DAYS, ge=1, le=36_500, description="days after a shopper's last event that Redis remembers them"
    )
    retention_days: int = Field(0, ge=0, le=36_500, description="age at which interactions are compacted; 0: never")
    snapshots_kept: int = Field(5, ge=1, le=10_000, description="newest snapshot directories that are kept")

    @property
    def sqlalchemy_url(self) -> str:
        """The database to open: `database_url`, or SQLite in the state directory."""
        return self.database_url or f"sqlite:///{self.state_dir.resolve() / 'graph.db'}"

    @property
    def snapshots_dir(self) -> Path:
        """Where `graphstore.snapshots.snapshot` keeps its immutable directories."""
        return self.state_dir / "snapshots"
