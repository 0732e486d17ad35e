import pytest
from pydantic import ValidationError

from serving.config import ServingConfig


def test_settings_come_from_the_environment_and_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_SERVE_PORT", "8123")
    monkeypatch.setenv("SAGESTREAM_ALLOWED_HOSTS", "shop.example, localhost")
    monkeypatch.setenv("SAGESTREAM_API_KEY", "hush")
    config = ServingConfig()
    assert config.serve_port == 8123
    assert config.hosts == ["shop.example", "localhost"]
    assert "hush" not in repr(config)
    with pytest.raises(ValidationError):
        config.serve_port = 1  # type: ignore[misc]


def test_nothing_binds_beyond_loopback_unless_told() -> None:
    assert ServingConfig().serve_host == "127.0.0.1"


def test_lists_of_names_and_networks() -> None:
    config = ServingConfig(
        slots=" home, item,,", trusted_proxies="10.1.2.3/8, ::1", allowed_hosts="localhost,shop.example,.shop.example"
    )
    assert config.slot_names == {"home", "item"}
    assert config.proxies == ["10.0.0.0/8", "::1/128"]
    assert config.origins == ["https://shop.example", "https://shop.example", "https://*.shop.example"]
    assert ServingConfig().origins == ServingConfig().proxies == []


def test_a_proxy_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValidationError, match="proxy"):
        ServingConfig(trusted_proxies="proxy.local")


@pytest.mark.parametrize("named", ["", "1", "1024", "auto", "10.0.0.1:6379"])
def test_a_ray_is_a_number_of_processes_or_an_address(named: str) -> None:
    assert ServingConfig(publisher_ray=named).publisher_ray == named


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("0", "an own Ray has 1 to 1,024 processes"),
        ("1025", "an own Ray has 1 to 1,024 processes"),
        ("-1", "a Ray cluster is at host:port, or auto"),
        ("ray://head:10001", "a Ray cluster is at host:port, or auto"),
        ("2,head:6379", "a Ray cluster is at host:port, or auto"),
    ],
)
def test_what_is_no_ray_is_refused(named: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ServingConfig(publisher_ray=named)
