"""Addresses of services: what is wrong is told in one line, which repeats nothing of a password."""

import pytest

from graphstore.addresses import (
    check_database_url,
    check_ray_address,
    check_redis_url,
    check_servers,
    check_webhook_url,
    shown_url,
)

SECRET = "correct-horse"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///shop.db",
        "sqlite:////var/lib/a@b#c.db",
        "postgresql://shop@db/shop",
        "postgresql+psycopg://shop:a%40b%2F:c@[::1]:5432/shop?sslmode=require",
        "postgresql:///shop?host=/var/run/postgresql",
    ],
)
def test_a_url_of_a_database(url: str) -> None:
    assert check_database_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://:s%40@h",
        "rediss://u:s@h:1/2?ssl_cert_reqs=none",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_a_url_of_a_redis(url: str) -> None:
    assert check_redis_url(url) == url


@pytest.mark.parametrize("servers", ["127.0.0.1:9092", "kafka", "a:1, b:2 ,[::1]:3", "[::1]", "broker_1.shop:9092"])
def test_addresses_of_brokers(servers: str) -> None:
    assert check_servers(servers) == servers


@pytest.mark.parametrize("scheme", ["postgresql", "redis"])
@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (f"u:{SECRET}/x@host/0", "around the @"),
        (f"u:x@{SECRET}@host/0", "around the @"),
        (f"u:12?{SECRET}@host/0", "around the @"),
        (f"u:12#{SECRET}@host/0", "around the @"),
        (f"u:{SECRET}@host:x/0", "the port"),
        (f"u:{SECRET}@host:0/0", "the port"),
        (f"u:{SECRET}@host:65536/0", "the port"),
        (f"u:{SECRET}@host:9999999999999/0", "the port"),
        (f"u:{SECRET}@ho st/0", "the host"),
        (f"u:x@{SECRET}[/0", "the host"),
        (f"u:{SECRET}/0", "the port"),
    ],
)
def test_a_wrong_url_is_told_without_any_part_of_it(scheme: str, rest: str, said: str) -> None:
    check = check_redis_url if scheme == "redis" else check_database_url
    with pytest.raises(ValueError, match=said) as refused:
        check(f"{scheme}://{rest}")
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_url_at_all() -> None:
    for check, service in ((check_database_url, "database"), (check_redis_url, "Redis")):
        for text in ("nonsense", "", "postgresql:/u:correct-horse@host"):
            with pytest.raises(ValueError, match=f"^this is no URL of a {service}, as ") as refused:
                check(text)
            assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match="mysql is not supported"):
        check_database_url("mysql://host/db")
    with pytest.raises(ValueError, match="the database of a Redis is a number"):
        check_redis_url("redis://host/shop")


@pytest.mark.parametrize("servers", ["host:x", "a:1,,b", "", f"u:{SECRET}@host:9092", "host:70000", "[nope]:1", "a b"])
def test_wrong_addresses_of_brokers(servers: str) -> None:
    with pytest.raises(ValueError, match=r"as 127\.0\.0\.1:9092$") as refused:
        check_servers(servers)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("postgresql://shop:se:cret@host/db", "postgresql://shop:***@host/db"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize("url", ["https://example.org/a/b?token=x", "http://[::1]:8080", "https://h:443/"])
def test_a_url_of_a_webhook(url: str) -> None:
    assert check_webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/correct-horse",
        "file:///correct-horse",
        "https://",
        "https:///correct-horse",
        "https://h:0/correct-horse",
        "https://h:99999/correct-horse",
        "https://[::1/correct-horse",
        "https://u:correct-horse@h/",
        "https://h/correct-horse#x",
        "https://h/correct horse",
        "https://h/correct-horse\r\nX: y",
        "correct-horse",
    ],
)
def test_a_wrong_url_of_a_webhook_is_told_without_it(url: str) -> None:
    with pytest.raises(ValueError, match="webhook") as told:
        check_webhook_url(url)
    assert "horse" not in str(told.value)


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head:6379", "[::1]:6379"])
def test_a_ray_is_at_a_host_and_a_port(address: str) -> None:
    assert check_ray_address(address) == address


@pytest.mark.parametrize(
    "address", ["nowhere", "ray://host:10001", ":6379", "host:", "host:0", "host:70000", "", "::1:2"]
)
def test_what_is_no_address_of_a_ray_is_told(address: str) -> None:
    with pytest.raises(ValueError, match="a Ray cluster is at host:port, or auto for"):
        check_ray_address(address)
