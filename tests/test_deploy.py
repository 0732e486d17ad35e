"""The deployment files, held to the code: what compose starts, sets and asks for must exist."""

import re
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from graphstore.config import PREFIX
from sagestream.settings import CONFIGS, variables
from serving.config import ServingConfig
from stream.config import StreamConfig

ROOT = Path(__file__).parents[1]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "sagestream"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

VERBS = {"init", "worker", "nearline", "publisher", "scheduler", "serve", "monitor"}
"""What must run for the loop to close."""


def settings() -> set[str]:
    """The name of every setting of every package."""
    return {name for config in CONFIGS.values() for name in variables(config)}


def test_our_services_are_the_verbs_and_nothing_else():
    assert set(OURS) == VERBS
    for name, service in OURS.items():
        assert service["command"] == [name]


def test_the_command_line_knows_every_verb():
    from sagestream.cli import app

    assert set(typer.main.get_command(app).commands) >= VERBS


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_exists(name):
    known = settings()
    for variable in OURS[name]["environment"]:
        assert variable.startswith(PREFIX)
        assert variable.removeprefix(PREFIX).lower() in known, f"{variable} is no setting"


def test_every_process_reaches_the_same_services():
    for name, service in OURS.items():
        environment = service["environment"]
        assert environment["SAGESTREAM_REDIS_URL"].startswith("redis://redis:")
        assert environment["SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS"] == "kafka:9092"
        assert environment["SAGESTREAM_STATE_DIR"] in service["volumes"][0]
        assert ("SAGESTREAM_DATABASE_URL" in environment) == (name != "serve")


@pytest.mark.parametrize("name", sorted(VERBS - {"init"}))
def test_the_health_check_asks_the_port_that_the_code_opens(name):
    command = SERVICES[name]["healthcheck"]["test"]
    asked = re.search(r"127\.0\.0\.1:(\d+)/(readyz|healthz)", command[-1])
    port = ServingConfig().serve_port if name == "serve" else StreamConfig().probe_port_of(name)
    assert int(asked[1]) == port
    assert command[:3] == ["CMD", "python", "-c"]
    compile(command[-1], name, "exec")


def test_everything_that_stays_up_has_a_health_check_and_comes_back():
    for name, service in SERVICES.items():
        if name == "init":
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] == "CMD"


def test_processes_start_after_the_tables_and_topics_exist():
    for name, service in OURS.items():
        waits = {other: how["condition"] for other, how in service["depends_on"].items()}
        assert set(waits) <= set(SERVICES)
        assert waits["kafka"] == waits["postgres"] == "service_healthy"
        if name != "init":
            assert (waits["init"], waits["redis"]) == ("service_completed_successfully", "service_healthy")


def test_ports_are_published_on_loopback_only():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)
    assert "ports" not in SERVICES["postgres"]
    assert "ports" not in SERVICES["redis"]


def test_what_must_survive_lies_in_named_volumes():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"]) == {"kafka", "postgres", "redis", "state"}


def test_secrets_come_from_the_environment_and_are_required():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|KEY$|SECRET", name):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name
    assert re.findall(r"://\w+:(\$\{[^}]+\}|[^@\s]+)@", COMPOSE_TEXT) == ["${POSTGRES_PASSWORD:?set it in .env}"]


def test_our_containers_have_no_privileges():
    for service in OURS.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert "user" not in service  # the image's own


def test_images_are_pinned_to_a_version():
    for service in SERVICES.values():
        if service["image"] != "sagestream":
            assert re.search(r":\d+", service["image"]), service["image"]


def test_the_image_runs_as_a_user_without_rights():
    last = DOCKERFILE.rsplit("FROM ", 1)[1]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert int(user[1]) >= 1000
    assert f"--uid {user[1]}" in last
    assert 'ENTRYPOINT ["sagestream"]' in last


def test_the_image_installs_extras_that_exist_and_no_tests():
    extras = re.search(r'ARG EXTRAS="([^"]+)"', DOCKERFILE)[1].split(",")
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])
    assert not {"test", "playground"} & set(extras)
    assert "tests" in (ROOT / ".dockerignore").read_text().split()
    assert ".env" in (ROOT / ".dockerignore").read_text().split()


def test_python_in_the_image_is_one_that_the_project_supports():
    minor = {int(found) for found in re.findall(r"FROM python:3\.(\d+)-slim", DOCKERFILE)}
    assert len(minor) == 1
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert minor.pop() >= 11


def test_no_package_index_is_named():
    for text in (DOCKERFILE, COMPOSE_TEXT):
        assert not re.search(r"https?://(?!127\.0\.0\.1)", text)
