"""The prose is held to the code: verbs, settings, topics, commands, paths."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from graphstore.config import GraphstoreConfig
from monitoring.config import MonitoringConfig
from sagestream.cli import app
from serving.config import ServingConfig
from stream.config import StreamConfig
from stream.kafka.topics import TOPICS
from training.config import TrainingConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFIGS: tuple[type[BaseSettings], ...] = (
    GraphstoreConfig,
    StreamConfig,
    TrainingConfig,
    ServingConfig,
    MonitoringConfig,
)


def settings() -> Iterator[tuple[str, str, str]]:
    """(variable, default as written, description) of every setting."""
    for config in CONFIGS:
        for name, field in config.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if isinstance(default, BaseModel):
                continue  # a nested group, documented by its own class
            yield f"SAGESTREAM_{name.upper()}", "" if default is None else str(default), field.description or ""


def verbs(command: Any, prefix: str = "") -> Iterator[str]:
    for name, child in command.commands.items():
        if hasattr(child, "commands"):
            yield from verbs(child, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def test_no_two_packages_have_a_setting_of_one_name() -> None:
    names = [name for name, _, _ in settings()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "default", "description"), list(settings()))
def test_every_setting_stands_in_the_readme_and_the_example(name: str, default: str, description: str) -> None:
    assert description, f"{name} has no description"
    shown = f"`{default}`" if default else ""
    assert f"| `{name}` | {shown} | {description} |" in README
    assert f"# {name}={default}\n" in (ROOT / ".env.example").read_text()


def test_the_settings_table_and_the_example_name_nothing_else() -> None:
    known = {name for name, _, _ in settings()}
    assert set(re.findall(r"^\| `(SAGESTREAM_\w+)`", README, re.MULTILINE)) == known
    example = set(re.findall(r"^#? ?(SAGESTREAM_\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == known


def test_the_readme_lists_the_verbs_that_exist() -> None:
    table = set(re.findall(r"^\| `sagestream ([a-z -]+?)(?: [A-Z_]+)*` \|", README, re.MULTILINE))
    assert table == set(verbs(typer.main.get_command(app)))


def test_every_verb_has_help() -> None:
    def check(command: Any) -> None:
        for name, child in command.commands.items():
            assert child.help, name
            if hasattr(child, "commands"):
                check(child)

    check(typer.main.get_command(app))


def test_the_readme_lists_the_topics_with_key_and_content() -> None:
    for topic in TOPICS:
        assert f"| `{topic.name}` | {topic.key} | {topic.holds} |" in README


def test_every_path_that_the_readme_names_exists() -> None:
    for path in re.findall(r"`((?:stream|graphstore|training|serving|monitoring|sagestream|tests)/[\w./]+)`", README):
        assert (ROOT / path).exists(), path


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)) <= targets


def extras(names: str) -> set[str]:
    """Everything that these extras bring, by the name of the distribution."""
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought: set[str] = set()
    for name in names.split(","):
        for requirement in offered[name]:
            more = re.fullmatch(r"sagestream\[(.+)\]", requirement)
            brought |= extras(more[1]) if more else {re.split(r"[^\w-]", requirement)[0]}
    return brought


def test_what_the_readme_installs_exists_and_is_enough_without_services() -> None:
    for names in re.findall(r'pip install "\.\[([\w,]+)\]"', README):
        extras(names)
    section = README.split("## Without any service")[1].split("\n## ")[0]
    names = re.findall(r'pip install "\.\[([\w,]+)\]"', section)[0]
    # Importers, Parquet, the graph, training, `tune`, `visualize`.
    assert extras(names) >= {"pandas", "pyarrow", "sqlalchemy", "torch", "optuna", "matplotlib"}


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert "make test" in README
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")


def test_the_repository_names_no_machine() -> None:
    pattern = re.compile(r"(?<![\w.}])/(?:work|root|opt)/\w")
    packages = ("stream", "graphstore", "training", "serving", "monitoring", "sagestream", "tests", "benchmarks")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")] + list(ROOT.glob("*.md"))
    for path in files:
        assert path == Path(__file__) or not pattern.search(path.read_text()), path
