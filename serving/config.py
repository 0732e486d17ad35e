"""Settings of serving, read from the environment once, in main (`serving.web.settings` is the web process' main)."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK = "127.0.0.1"


class ServingConfig(BaseSettings):
    """What the lists hold, how they are kept fresh, and how they are served."""

    model_config = SettingsConfigDict(env_prefix="SAGESTREAM_", frozen=True, extra="ignore")

    list_length: int = Field(100, ge=1, le=1000, description="items in each shopper's published list")
    similar_length: int = Field(30, ge=1, le=1000, description="items in each item's list of similar items")
    history_limit: int = Field(500, ge=1, le=100_000, description="newest events of a shopper that a list is made from")
    publish_block_users: int = Field(1024, ge=1, le=100_000, description="shoppers scored and written at a time")
    reconcile_seconds: float = Field(15.0, gt=0, le=3600, description="how often the publisher looks at the registry")
    retired_ttl_seconds: int = Field(600, ge=2, le=604_800, description="how long a replaced model's lists stay")
    near_ttl_seconds: int = Field(604_800, ge=60, le=31_536_000, description="how long a near-line list stays")
    nearline_batch_users: int = Field(256, ge=1, le=10_000, description="touched shoppers refreshed at a time")
    trend_refresh_seconds: float = Field(60.0, gt=0, le=3600, description="how often near-line reads trend counts anew")
    freshness_samples: int = Field(10_000, ge=1, le=1_000_000, description="measured delays kept in Redis")
    nearline_port: int = Field(6067, ge=0, le=65535, description="the near-line process' health and metrics port")
    publisher_port: int = Field(6068, ge=0, le=65535, description="the publisher's health and metrics port")

    serve_host: str = Field(LOOPBACK, description="address that the web server binds")
    serve_port: int = Field(8000, ge=1, le=65535, description="port of the web server")
    serve_processes: int = Field(1, ge=1, le=64, description="web worker processes")
    serve_threads: int = Field(8, ge=1, le=256, description="threads that answer requests in each of them")
    allowed_hosts: str = Field("127.0.0.1,localhost,[::1]", description="host names that are answered, comma separated")
    api_key: SecretStr | None = Field(None, description="key that writers must show; unset: they are refused")
    secret_key: SecretStr | None = Field(None, description="Django's signing key; unset: a new one at each start")
    shop_page: bool = Field(True, description="serve the shop at `/`, whose visitor may act as any shopper")
    cache_timeout_seconds: float = Field(1.0, gt=0, le=60, description="how long the web process waits for Redis")
    pointer_seconds: float = Field(1.0, ge=0, le=60, description="how long a web worker trusts the model pointer")
    item_seconds: float = Field(30.0, ge=0, le=3600, description="how long a web worker keeps titles and prices")
    max_posted_events: int = Field(500, ge=1, le=10_000, description="events in one POST")
    delivery_seconds: float = Field(5.0, gt=0, le=60, description="how long a POST waits for Kafka's acknowledgement")
    outbox_events: int = Field(10_000, ge=1, le=1_000_000, description="impressions and events waiting for Kafka")

    @property
    def hosts(self) -> list[str]:
        """`allowed_hosts` as Django wants it."""
        return [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
