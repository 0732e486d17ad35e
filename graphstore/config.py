"""Settings of the graph store, read from the environment once, in main."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "SAGESTREAM_"
"""What the name of every variable of the environment begins with, in all packages."""


class GraphstoreConfig(BaseSettings):
    """Where the graph lives, and what one event of each type weighs."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    state_dir: Path = Field(Path(".sagestream"), description="directory of everything Sagestream keeps on disk")
    database_url: str = Field("", description="SQLAlchemy URL; empty: SQLite in the state directory")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="URL of Redis")
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
