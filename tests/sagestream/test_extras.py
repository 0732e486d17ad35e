"""A part that is not installed is named with the extra that brings it."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest

from graphstore.errors import MissingExtra
from sagestream import extras
from sagestream.extras import EXTRAS, require
from sagestream.runners import run_publisher

OFFERED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
BOUNDED = {"click"}
"""Only bounded by an extra: what is always installed brings it."""
UNASKED = {"opentelemetry_sdk", "opentelemetry_exporter_otlp_proto_http", "opentelemetry_api"}
"""No verb needs it: a process without it logs that it makes no traces, and Ray asks for a part itself. All parts share
the module `opentelemetry`."""


def distribution(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0].replace("-", "_").lower()


def test_what_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require("matplotlib")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r'matplotlib is not installed: pip install "\.\[plots\]"'):
        require("matplotlib")


def test_a_publisher_whose_ray_is_missing_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGESTREAM_PUBLISHER_RAY", "2")
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else find_spec(name))
    with pytest.raises(MissingExtra, match=r'ray is not installed: pip install "\.\[ray\]"'):
        run_publisher()


def test_every_part_of_every_extra_is_known() -> None:
    modules: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            modules.setdefault(name.replace("-", "_").lower(), set()).add(module)
    brought = {
        distribution(requirement): extra
        for extra, requirements in OFFERED["optional-dependencies"].items()
        for requirement in requirements
        if extra != "test" and not requirement.startswith("sagestream[")
    }
    always = {distribution(requirement) for requirement in OFFERED["dependencies"]}
    for name in brought.keys() - BOUNDED - UNASKED - always:
        assert modules[name] & EXTRAS.keys(), name
    for module, extra in EXTRAS.items():
        (name,) = {name for name, found in modules.items() if module in found}
        requirements = {distribution(requirement) for requirement in OFFERED["optional-dependencies"][extra]}
        assert name in requirements, f"{extra} does not bring {module}"
