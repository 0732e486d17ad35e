"""Settings of serving: the main program reads them once from the environment.

In the web process, `serving.web.settings` reads them.
"""

from pydantic import Field, SecretStr

from graphstore.config import PackageSettings

LOOPBACK = "127.0.0.1"


class ServingConfig(PackageSettings):
    """Settings for the lists, their refresh, and the web server."""

    list_length: int = Field(100, ge=1, le=1000, description="items in each shopper's published list")
    similar_length: int = Field(30, ge=1, le=1000, description="items in each item's list of similar items")
    trend_refresh_seconds: float = Field(60.0, gt=0, le=3600, description="how often near-line reads trend counts anew")

    serve_host: str = Field(LOOPBACK, description="address that the web server binds")
    serve_port: int = Field(8000, ge=1, le=65535, description="port of the web server")
    serve_processes: int = Field(1, ge=1, le=64, description="web worker processes")
    serve_threads: int = Field(8, ge=1, le=256, description="threads that answer requests in each of them")
    allowed_hosts: str = Field("127.0.0.1,localhost,[::1]", description="host names that are answered, comma separated")
    api_key: SecretStr | None = Field(None, description="key that writers must show; unset: they are refused")
    secret_key: SecretStr | None = Field(None, description="Django's signing key; unset: a new one at each start")
    shop_page: bool = Field(True, description="serve the shop at `/`, whose visitor may act as any shopper")

    @property
    def hosts(self) -> list[str]:
        """Return `allowed_hosts` as a list, the form that Django needs."""
        return [host.strip() for host in self.allowed_hosts.split(",") if host.strip()]
