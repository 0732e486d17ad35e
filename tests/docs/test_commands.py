"""What the pages tell readers to type: it parses, and everything that it names is there."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from graphstore.config import FILE_SUFFIX, PREFIX
from sagestream.cli import app
from sagestream.settings import CONFIGS, secrets, variables
from tests.docs.pages import ROOT, page, pages

SAGESTREAM: Any = typer.main.get_command(app)
UsageError = typer.BadParameter.__mro__[1]
"""Typer may bring a Click of its own, and gives this class no name."""

VARIABLE = re.compile(r"\bSAGESTREAM_[A-Z0-9_]*[A-Z0-9]\b")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def words_of(line: str) -> list[str]:
    """The words of a shell line, without comment and assignments in front."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []  # an apostrophe: no command
    while words and re.fullmatch(r"\w+=\S*", words[0]):
        words = words[1:]
    return words


def verb_of(words: list[str]) -> tuple[Any, list[str]]:
    """The verb that the words begin with and the words behind it; raises `KeyError` where there is none."""
    command, rest = SAGESTREAM, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def parse(words: list[str]) -> None:
    """Parse the words behind `sagestream` as Typer would; raises its usage error, or `KeyError`."""
    command, rest = verb_of(words)
    rest = [word for word in rest if word != "--help"]
    if rest:
        command.make_context(command.name, rest)


def behind_sagestream(line: str) -> list[str] | None:
    """The words behind `sagestream` or `-m sagestream`; None where the line does not call it."""
    words = words_of(line)
    if words and words[0].rpartition("/")[2] == "sagestream":
        return words[1:]
    if "-m" in words[:-1] and words[words.index("-m") + 1] == "sagestream":
        return words[words.index("-m") + 2 :]
    return None


def called() -> Iterator[tuple[str, list[str]]]:
    """(page and line, words behind `sagestream`) of every command line in a block."""
    for one in pages():
        if one.name != "docs/cli.md":  # its blocks are usages, with brackets
            for line in one.lines:
                if (words := behind_sagestream(line)) is not None:
                    yield f"{one.name}: {line}", words


COMMANDS = list(called())


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=[where for where, _ in COMMANDS])
def test_every_command_line_parses(where: str, words: list[str]) -> None:
    parse(words)


def test_commands_were_found_and_a_wrong_one_is_noticed() -> None:
    assert len(COMMANDS) > 25
    parse(["import", "shop.csv", "--direct"])
    with pytest.raises(KeyError):
        parse(["models", "demote", "m1"])
    for wrong in (["import", "shop.csv", "--strait"], ["train", "--kind", "nothing"], ["score", "m1"]):
        with pytest.raises(UsageError):
            parse(wrong)


def test_every_verb_and_option_in_a_span_exists() -> None:
    """A span may leave out values, and `sagestream` before options: `train --config`."""
    missing, seen = [], 0
    for one in pages():
        for span in one.spans:
            words = behind_sagestream(span)
            if words is None and (found := words_of(span)) and found[0] in SAGESTREAM.commands and " --" in span:
                words = found
            if words:
                command, rest = verb_of(words)
                known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
                missing += [f"{one.name}: {span}" for word in rest if word.startswith("--") and word not in known]
                seen += 1
    assert not missing, missing
    assert seen > 50


def test_every_make_target_exists() -> None:
    named = {
        words[1]
        for one in pages()
        for words in map(words_of, [*one.lines, *one.spans])
        if len(words) > 1 and words[0] == "make"
    }
    assert {"playground", "test"} <= named <= TARGETS, named - TARGETS


def test_every_program_of_ours_exists() -> None:
    lines = [line for one in pages() for line in [*one.lines, *one.spans]]
    programs = [words for words in map(words_of, lines) if words and words[0] == "python"]
    assert programs
    for words in programs:
        path = words[2].replace(".", "/") + ".py" if words[1] == "-m" else words[1]
        assert (ROOT / path).is_file(), words


def test_every_variable_is_a_setting() -> None:
    known = {f"{PREFIX}{name.upper()}" for config in CONFIGS.values() for name in variables(config)}
    known |= {f"{PREFIX}{name.upper()}{FILE_SUFFIX}" for name in secrets()}
    for one in pages():
        assert set(VARIABLE.findall(one.text)) <= known, one.name


def extras(names: str) -> set[str]:
    """Everything that these extras bring, by distribution; raises `KeyError` where there is no such extra."""
    offered = PROJECT["project"]["optional-dependencies"]
    brought: set[str] = set()
    for name in names.split(","):
        for requirement in offered[name]:
            more = re.fullmatch(r"sagestream\[(.+)\]", requirement)
            brought |= extras(more[1]) if more else {re.split(r"[^\w-]", requirement)[0]}
    return brought


def test_what_is_installed_exists_and_is_enough_without_services() -> None:
    pattern = re.compile(r'pip install "\.\[([\w,]+)\]"')
    for one in pages():
        for names in pattern.findall(one.text):
            assert extras(names)
    names = pattern.findall(page("docs/data.md").section("## Without any service"))[0]
    # Importers, Parquet, the graph, training, `tune`, `visualize`.
    assert extras(names) >= {"pandas", "pyarrow", "sqlalchemy", "torch", "optuna", "matplotlib"}


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert "make test" in page("README.md").lines
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("make test")
