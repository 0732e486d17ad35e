"""The deployment files, held to the code: what compose starts, sets and asks for must exist."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from graphstore.config import PREFIX
from sagestream.settings import CONFIGS, secrets, variables
from serving.config import ServingConfig
from stream.config import StreamConfig

ROOT = Path(__file__).parents[1]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("sagestream")}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

VERBS = {"init", "worker", "nearline", "publisher", "scheduler", "serve", "ranker", "monitor"}
"""What must run for the loop to close."""
ASIDE = {"worker-2": "worker", "tools": "doctor"}
"""Services that only a profile starts, with their verbs."""
BY_COMPOSE = {
    *("state_dir", "probe_port", "probe_host", "worker_id"),
    *("serve_host", "serve_port", "ranker_host", "ranker_port"),
}
"""Settings whose values the file says itself."""
KEYS = {"api_key", "admin_key", "secret_key", "read_keys", "write_keys", "admin_keys"}
"""The keys of the API."""
ALARMS = {"alarm_webhook", "alarm_secret"}
"""What only the monitor needs."""
WITHOUT_SECRETS = {
    "init": {"redis_url", *KEYS, *ALARMS},
    "monitor": {"kafka_sasl_password", *KEYS},
    "serve": {"database_url", "snapshot_database_url", *ALARMS},
}
"""The secrets that a process does not need. Of the other processes these are the keys of the API, and the alarms'."""
OPTIONAL_SECRETS = {
    *(f"SAGESTREAM_{name}" for name in ("ADMIN_KEY", "READ_KEYS", "WRITE_KEYS", "ADMIN_KEYS", "ALARM_SECRET"))
}
"""Without them, a part stays closed."""


def settings() -> set[str]:
    """The name of every setting of every package."""
    return {name for config in CONFIGS.values() for name in variables(config)}


def test_our_services_are_the_verbs_and_nothing_else():
    assert set(OURS) == VERBS | set(ASIDE)
    for name, service in OURS.items():
        assert service["command"] == [ASIDE.get(name, name)]
        assert ("profiles" in service) == (name in ASIDE)


def test_the_command_line_knows_every_verb():
    from sagestream.cli import app

    assert set(typer.main.get_command(app).commands) >= VERBS


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_of_the_environment_reaches_every_process_and_secrets_those_that_need_them(name):
    own = [variable for variable in OURS[name]["environment"] if not variable.startswith("OTEL_")]
    given = {variable.removeprefix(PREFIX).lower() for variable in own}
    assert {variable for variable in given if not variable.endswith("_file")} <= settings(), "no such setting"
    plain = settings() - set(secrets()) - BY_COMPOSE
    assert plain <= given
    needed = set(secrets()) - WITHOUT_SECRETS.get(name, KEYS | ALARMS)
    assert given - plain - BY_COMPOSE == needed | {f"{secret}_file" for secret in needed}


def test_what_the_environment_does_not_set_has_its_default():
    """A variable without a value is left out by Compose; an empty one counts as not set."""
    for service in OURS.values():
        for variable, value in service["environment"].items():
            if variable.removeprefix(PREFIX).lower() not in BY_COMPOSE | set(secrets()):
                assert value is None or f"${{{variable}:-" in value


def test_the_processes_on_an_events_way_may_be_told_where_traces_go():
    """By OpenTelemetry's own variables, and the image holds what sends them where `TRACES` is set when it is built."""
    traced = {name for name, service in OURS.items() if "OTEL_EXPORTER_OTLP_ENDPOINT" in service["environment"]}
    assert traced == {"serve", "worker", "worker-2", "nearline"}
    for service in OURS.values():
        assert service["build"]["args"]["TRACES"] == "${TRACES:-}"
    assert DOCKERFILE.count('ARG TRACES=""') == DOCKERFILE.count("${TRACES:+") == 2
    assert "otel" in PROJECT["project"]["optional-dependencies"]


def test_every_process_reaches_the_same_services():
    for service in OURS.values():
        environment = service["environment"]
        assert "@redis:6379/0}" in environment.get("SAGESTREAM_REDIS_URL", "@redis:6379/0}")
        assert environment["SAGESTREAM_KAFKA_BOOTSTRAP_SERVERS"].endswith(":-kafka:9092}")
        assert environment["SAGESTREAM_STATE_DIR"] == "/var/lib/sagestream"


def test_the_state_volume_is_mounted_where_it_is_used_and_writable_where_it_is_written():
    mounted = {name: service.get("volumes", []) for name, service in OURS.items()}
    written, read = ["state:/var/lib/sagestream"], ["state:/var/lib/sagestream:ro"]
    assert {name for name, volumes in mounted.items() if volumes == written} == {
        "init",
        "scheduler",
        "monitor",
        "tools",
    }
    assert {name for name, volumes in mounted.items() if volumes == read} == {"nearline", "publisher", "ranker"}
    assert {name for name, volumes in mounted.items() if not volumes} == {"worker", "worker-2", "serve"}


def test_the_doctor_looks_where_the_processes_are():
    told = OURS["worker"]["environment"]["SAGESTREAM_DOCTOR_HOSTS"]
    hosts = re.fullmatch(r"\$\{SAGESTREAM_DOCTOR_HOSTS:-(.*)\}", told)[1]
    ports = dict.fromkeys(VERBS - {"init"}, 1)
    assert {(name, host) for name, host, _ in StreamConfig(doctor_hosts=hosts).probe_addresses(ports)} == {
        (name, name) for name in ports
    }


@pytest.mark.parametrize("name", sorted(VERBS - {"init"}))
def test_the_health_check_asks_the_port_that_the_code_opens(name):
    command = SERVICES[name]["healthcheck"]["test"]
    asked = re.search(r"127\.0\.0\.1:(\d+)/(readyz|healthz)", command[-1])
    port = ServingConfig().serve_port if name == "serve" else StreamConfig().probe_port_of(name)
    assert int(asked[1]) == port
    assert command[:3] == ["CMD", "python", "-ISc"]
    assert OURS[name]["environment"]["SAGESTREAM_PROBE_HOST"] == "0.0.0.0"
    compile(command[-1], name, "exec")


def test_everything_that_stays_up_has_a_health_check_and_comes_back():
    for name, service in SERVICES.items():
        if name in ("init", "tools"):
            assert service["restart"] == "no"
        else:
            assert service["restart"] == "unless-stopped"
            assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
            assert "kafka-topics" not in str(service["healthcheck"]), "a JVM for each look"


def test_processes_start_after_the_tables_and_topics_exist():
    assert OURS["tools"]["depends_on"] == {}, "the doctor must find what is stopped, and not start it"
    for name, service in OURS.items():
        if name == "tools":
            continue
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
    used = {volume for volume in used if not volume.startswith("./deploy/")}
    assert used == set(COMPOSE["volumes"]) == {"kafka", "postgres", "prometheus", "redis", "state"}


def test_secrets_come_from_the_environment_and_are_required():
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if (
                name not in OPTIONAL_SECRETS
                and re.search(r"PASSWORD|AUTH|KEY$|SECRET", name)
                and "KAFKA" not in name
                and not name.endswith("_FILE")
            ):
                assert re.fullmatch(r"\$\{[A-Z_]+:?\?[^}]+\}", value), name
    passwords = set(re.findall(r"://\w*:(\$\{[^}]+\}|[^@\s]+)@", COMPOSE_TEXT))
    assert passwords == {"${POSTGRES_PASSWORD:?set it in .env}", "${REDIS_PASSWORD:?set it in .env}"}
    assert "requirepass $$REDISCLI_AUTH" in SERVICES["redis"]["command"][-1]


def test_the_application_is_no_superuser_of_postgresql():
    assert SERVICES["postgres"]["environment"]["POSTGRES_USER"] == "postgres"
    (script,) = [volume for volume in SERVICES["postgres"]["volumes"] if volume.startswith("./")]
    made = (ROOT / script.split(":")[0]).read_text()
    assert "CREATE ROLE sagestream LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password'" in made
    assert set(re.findall(r"\\getenv \w+ (\w+)", made)) < set(SERVICES["postgres"]["environment"])


def test_our_containers_have_no_privileges():
    for service in OURS.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"]
        assert service["tmpfs"][0].startswith("/tmp:")
        assert "privileged" not in service
        assert "user" not in service  # the image's own


def test_every_container_has_a_limit_of_memory_and_of_processes():
    for name, service in SERVICES.items():
        assert service["mem_limit"], name
        assert service["pids_limit"] <= 512, name


def test_the_images_carry_the_version():
    version = PROJECT["project"]["version"]
    for service in OURS.values():
        assert service["image"].endswith(f":${{IMAGE_TAG:-{version}}}")
        assert service["build"]["args"]["VERSION"] == f"${{IMAGE_TAG:-{version}}}"
    assert f"ARG VERSION={version}" in DOCKERFILE
    assert 'org.opencontainers.image.version="${VERSION}"' in DOCKERFILE


def test_the_process_that_strangers_reach_has_an_image_without_torch():
    assert {name for name, service in OURS.items() if service["build"]["target"] == "serve"} == {"serve"}
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
    assert "COPY --from=serve-build /venv /venv" in stages["serve"]
    assert stages["serve-build"].replace("${TRACES:+--extra otel}", "").count("--extra") == 0
    assert "torch" not in stages["serve-build"]
    assert "--constraint constraints.txt" in stages["serve-build"]
    assert DOCKERFILE.count("pip install") == DOCKERFILE.count("pip install --no-deps") + DOCKERFILE.count(
        "pip install --constraint constraints.txt"
    )


def test_what_is_left_out_of_the_image_is_imported_by_nobody():
    """The libraries of `deploy/leave_out.py` never import a `tests` of their own, outside their tests."""
    for library in runpy.run_path(str(ROOT / "deploy" / "leave_out.py"))["LIBRARIES_WITH_TESTS"]:
        found = importlib.util.find_spec(library)
        if found is None:
            continue
        root = Path(found.origin).parent
        for file in root.rglob("*.py"):
            if {"tests", "test", "conftest.py", "_precompute"} & set(file.relative_to(root).parts):
                continue
            imports = re.findall(r"^(?:from|import) (\S+)", file.read_text(errors="replace"), re.MULTILINE)
            assert not [name for name in imports if re.match(rf"(?:{library})?[\w.]*\.tests\b", name)], file


def test_images_are_pinned_to_a_version():
    for service in SERVICES.values():
        if not service["image"].startswith("sagestream"):
            assert re.search(r":v?\d+", service["image"]), service["image"]


def test_the_images_run_as_a_user_without_rights():
    base = DOCKERFILE.split("AS base\n", 1)[1]
    users = re.findall(r"^USER (\d+):(\d+)$", base, re.MULTILINE)
    assert len(users) == 2
    assert len(set(users)) == 1
    assert int(users[0][0]) >= 1000
    assert f"--uid {users[0][0]}" in base
    assert 'ENTRYPOINT ["sagestream"]' in base


def test_the_image_installs_extras_that_exist_and_no_tests():
    extras = re.search(r'ARG EXTRAS="([^"]+)"', DOCKERFILE)[1].split(",")
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"])
    assert not {"test", "playground"} & set(extras)
    everything, *allowed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith(("#", "**"))
    ]
    assert everything == "*"
    packages = {folder.removesuffix("*") for folder in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    needed = {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "deploy/leave_out.py"}
    assert set(allowed) == {f"!{name}" for name in packages | needed}


def test_python_in_the_image_is_one_that_the_project_supports():
    minor = {int(found) for found in re.findall(r"FROM python:3\.(\d+)-slim", DOCKERFILE)}
    assert len(minor) == 1
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert minor.pop() >= 11


def test_no_package_index_is_named():
    for text in (DOCKERFILE, COMPOSE_TEXT):
        assert not re.search(r"https?://(?!127\.0\.0\.1|ranker:8001)", text)


@pytest.mark.parametrize("client", ["/nowhere/docker", "false"])
def test_the_compose_check_says_where_no_engine_is(client):
    done = subprocess.run(
        [sys.executable, "-m", "tests.compose.check"],
        env=os.environ | {"DOCKER": client},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == (
        f"compose-check: no Docker engine answers to `{client} version`: start one, or name its client in DOCKER\n"
    )


def test_the_backup_that_the_check_tries_is_the_one_of_operations():
    page = (ROOT / "docs" / "operations.md").read_text()
    check = (ROOT / "tests" / "compose" / "check.py").read_text()
    commands = re.findall(
        r"^docker compose ((?:exec|run) .*?)(?: [<>] \S+| \\)$", page.partition("## Backup")[2], re.MULTILINE
    )
    assert len(commands) == 4
    written = re.sub(r"[\s\"',()]+", " ", check)
    for command in commands:
        for part in command.split(" tools -C /var/lib/sagestream"):
            assert part.strip() in written, part
