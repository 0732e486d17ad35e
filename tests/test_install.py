"""What gets installed: `constraints.txt`, held to pyproject.toml, to who installs with it, and to this environment."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
LINES = [Requirement(line) for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
PYTHONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
PLATFORMS = {"linux": ("Linux", "x86_64"), "darwin": ("Darwin", "arm64")}
ACCELERATORS = ("cuda-", "nvidia-", "triton")
"""Names of what a build of torch brings for accelerators: that build says which versions."""
INSTALLED_BY_MAKE = Path(sys.prefix, ".test").exists()


def here() -> dict[str, str]:
    """What markers ask about, in this environment."""
    return {name: str(value) for name, value in default_environment().items()}


def elsewhere(python: str, platform: str) -> dict[str, str]:
    """What markers ask about, on a version of Python and a platform (`sys.platform`)."""
    system, machine = PLATFORMS[platform]
    return here() | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
    }


def applies(requirement: Requirement, where: dict[str, str], extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate({**where, "extra": extra})


def pins(where: dict[str, str]) -> dict[str, Version]:
    """The version of each package that the constraints allow there."""
    found: dict[str, Version] = {}
    for line in LINES:
        if applies(line, where):
            name = canonicalize_name(line.name)
            assert name not in found, f"{name} stands there twice"
            found[name] = Version(next(iter(line.specifier)).version)
    return found


def test_every_constraint_is_one_exact_version_and_names_no_place() -> None:
    assert len(LINES) > 150
    for line in LINES:
        assert re.fullmatch(r"==[^*,]+", str(line.specifier)), line
        assert not line.url
        assert not line.extras
    assert not re.search(r"://|@|^\s*-", CONSTRAINTS, re.MULTILINE)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_constraints_satisfy_every_extra(python: str, platform: str) -> None:
    where = elsewhere(python, platform)
    pinned = pins(where)
    for extra, texts in {"": PROJECT["dependencies"], **EXTRAS}.items():
        for requirement in map(Requirement, texts):
            if requirement.name == PROJECT["name"]:
                assert requirement.extras <= set(EXTRAS)
            elif applies(requirement, where):
                name = canonicalize_name(requirement.name)
                assert name in pinned, f"[{extra}] {requirement}: run `make constraints`"
                assert pinned[name] in requirement.specifier, f"[{extra}] {requirement}: run `make constraints`"


def test_pythons_that_were_tried_are_pythons_that_are_allowed() -> None:
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert f"--python-version {PYTHONS[0]} " in (ROOT / "Makefile").read_text()


@pytest.mark.skipif(not INSTALLED_BY_MAKE, reason="`make` did not install this environment: versions may differ")
def test_this_environment_is_what_the_constraints_say() -> None:
    """Everything that the extra `test` needs, and what that needs in turn."""
    pinned = pins(here())
    names = {name for name, _ in needed_by("test")} - {PROJECT["name"]}
    installed = {name: distribution(name).version for name in names}
    wrong = {
        name: f"{version} installed, {pinned.get(name)} in constraints.txt"
        for name, version in installed.items()
        if Version(Version(version).public) != pinned.get(name)
    }
    assert len(names) > 150
    assert not wrong, "run `make .venv/.test`"


def needed_by(*extras: str) -> set[tuple[str, str]]:
    """The packages, with their extras, that these extras need here, and what those need in turn."""
    asked = [(PROJECT["name"], extra) for extra in extras]
    seen = set(asked)
    for name, extra in asked:
        for requirement in map(Requirement, distribution(name).requires or ()):
            needed = canonicalize_name(requirement.name)
            if applies(requirement, here(), extra) and not needed.startswith(ACCELERATORS):
                new = {(needed, wanted) for wanted in ("", *requirement.extras)} - seen
                seen |= new
                asked += sorted(new)
    return seen


def test_ray_is_given_what_it_asks_for_beside_the_drift_reports() -> None:
    """Evidently brings OpenTelemetry's messages alone. Ray takes them for the whole, and then did not start."""
    assert ("opentelemetry-proto", "") in needed_by("monitoring")
    assert ("opentelemetry-api", "") in needed_by("ray")


# Stand-ins for pip (with Python) and uv: they write down what they were asked for, and fail where the test says so.
PYTHON_SCRIPT = """#!/bin/sh
echo "pip: $*" >> "$LOG"
case "$*" in
    *" uv") [ "$FAILS" = no-uv ] && exit 1; cp "$UV_SCRIPT" "$(dirname "$0")/uv";;
    *" torch") ;;
    *) [ "$FAILS" = both ] && exit 1;;
esac
exit 0
"""
UV_SCRIPT = """#!/bin/sh
echo "uv: $*" >> "$LOG"
[ -z "$FAILS" ]
"""


@pytest.mark.skipif(not shutil.which("make"), reason="make is not there")
@pytest.mark.parametrize("fails", ["", "no-uv", "uv", "both"])
def test_make_installs_by_uv_and_where_it_cannot_by_pip_aloud(fails: str, tmp_path: Path) -> None:
    commands = tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    for path, script in ((commands / "python", PYTHON_SCRIPT), (tmp_path / "uv", UV_SCRIPT)):
        path.write_text(script)
        path.chmod(0o755)
    (commands / "pip").touch()
    log, stamp = tmp_path / "log", tmp_path / "venv" / ".playground"
    done = subprocess.run(
        ["make", "--no-print-directory", f"VENV={commands.parent}", str(stamp)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "LOG": str(log), "UV_SCRIPT": str(tmp_path / "uv"), "FAILS": fails},
        capture_output=True,
        text=True,
        check=False,
    )
    asked = [(line.partition(":")[0], line.rpartition(" ")[2]) for line in log.read_text().splitlines()]
    by_uv, by_pip = ("uv", ".[playground]"), ("pip", ".[playground]")
    assert asked == [
        ("pip", "torch"),
        ("pip", "uv"),
        *([] if fails == "no-uv" else [by_uv]),
        *([by_pip] if fails else []),
    ]
    assert all("--constraint constraints.txt" in line for line in log.read_text().splitlines())
    assert ("pip does it" in done.stdout) == bool(fails)
    assert (done.returncode == 0) == stamp.exists() == (fails != "both")


def test_the_image_and_ci_install_with_the_constraints() -> None:
    commands = re.findall(r"\bpip (?:install|compile)\b[^&\n]*", (ROOT / "Dockerfile").read_text())
    assert len(commands) > 3
    assert [each for each in commands if "--constraint constraints.txt" not in each] == [
        "pip install --no-deps --target /app ."
    ]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "make test" in ci
    assert "pip" not in ci.split()
