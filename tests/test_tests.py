"""What tests may not do, held by reading them: use a private name of ours, sleep where they could wait, bound speed."""

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
OURS = {"stream", "graphstore", "training", "serving", "monitoring", "sagestream", "benchmarks"}
FILES = sorted(set(ROOT.rglob("*.py")) - {Path(__file__)})


PUBLIC = {"_replace", "_asdict", "_fields", "_exit"}
"""What the standard library means for everybody."""

OF_FAUST = "stream/kafka/test_record_batches.py"
"""It stands for Faust and aiokafka, whose private names `stream.kafka.record_batches` uses and lists."""


SLEEPS = {
    "waiting.py": "the one loop that waits for a condition",
    "kills/kills.py": "kills come at random moments",
    "kills/shop.py": "waits for a condition, and revives workers meanwhile",
    "compose/check.py": "a program that waits for containers, without the tests' environment",
    "contracts/acknowledging_producer.py": "a program that sends at a pace, until it is killed",
    "sagestream/test_interruption.py": "an endless wait that is interrupted",
    "serving/web/test_gateway.py": "the age of a queue is what is tested",
    "stream/worker/test_bisect.py": "lets other coroutines run",
    "stream/kafka/test_record_batches.py": "gives other coroutines the time in which nothing may happen",
    "stream/kafka/test_batch_producer.py": "lets other coroutines run",
}
"""The files that may sleep, and why no condition stands in its place."""


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def of_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] in OURS


def programs(tree: ast.Module) -> Iterator[ast.Module]:
    """The module, and the programs that it holds as text for processes of their own."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                inner = ast.parse(node.value)
            except SyntaxError:
                continue
            if any(isinstance(line, ast.Import | ast.ImportFrom) for line in ast.walk(inner)):
                yield inner


def private_names(tree: ast.Module) -> Iterator[str]:
    """Private names that a module imports from our packages, or reads or replaces on anything but its own objects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and of_ours(node.module):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if of_ours(alias.name)]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) not in {"self", "cls"}:
            names = [node.attr]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("setattr"):
            names = [str(argument.value) for argument in node.args[:2] if isinstance(argument, ast.Constant)]
        else:
            continue
        if any(private(part) for name in names for part in name.split(".")):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def test_no_private_name_of_ours_is_used() -> None:
    found = [
        f"{file.relative_to(ROOT)}, {name}"
        for file in FILES
        if str(file.relative_to(ROOT)) != OF_FAUST
        for tree in programs(ast.parse(file.read_text()))
        for name in private_names(tree)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "from stream.events import _encoder",
        "import stream._events",
        "events._encoder.encode(1)",
        "reader.consumer._group",
        "monkeypatch.setattr(events, '_encoder', None)",
        "monkeypatch.setattr('stream.events._encoder', None)",
        "PROGRAM = 'import stream\\nstream._events()'",
    ],
)
def test_a_private_name_is_found(code: str) -> None:
    assert [name for tree in programs(ast.parse(code)) for name in private_names(tree)]


@pytest.mark.parametrize(
    "code", ["self._kept", "row._replace(a=1)", "os._exit(3)", "from kafka import _x", "a.__dict__"]
)
def test_what_is_not_private_is_not_found(code: str) -> None:
    assert not [name for tree in programs(ast.parse(code)) for name in private_names(tree)]


def sleeps(tree: ast.Module) -> list[int]:
    """The lines on which a module sleeps."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if ast.unparse(call.func).rpartition(".")[2] == "sleep"]


def test_only_what_cannot_wait_for_a_condition_sleeps() -> None:
    found = {str(file.relative_to(ROOT)): sleeps(ast.parse(file.read_text())) for file in FILES}
    assert {name: lines for name, lines in found.items() if lines and name not in SLEEPS} == {}
    assert [name for name in SLEEPS if not found[name]] == []


CLOCKS = {"monotonic", "perf_counter", "process_time", "thread_time", "time"}
CLOCKS |= {f"{name}_ns" for name in CLOCKS} | {"clock_gettime"}


def bounds_on_time(tree: ast.Module) -> list[int]:
    """The lines on which a module asserts that little time has passed, which a neighbour of the machine can break.

    A deadline in a loop that waits (`time.monotonic() < deadline`) is none of these.
    """
    found = []
    names = set(durations(tree))
    for claim in (node for node in ast.walk(tree) if isinstance(node, ast.Assert)):
        for comparison in (node for node in ast.walk(claim) if isinstance(node, ast.Compare)):
            sides = [comparison.left, *comparison.comparators]
            for (left, right), sign in zip(itertools.pairwise(sides), comparison.ops, strict=True):
                smaller = {ast.Lt: left, ast.LtE: left, ast.Gt: right, ast.GtE: right}.get(type(sign))
                if smaller is not None and any(
                    time_passed(node) or (isinstance(node, ast.Name | ast.Attribute) and ast.unparse(node) in names)
                    for node in ast.walk(smaller)
                ):
                    found.append(comparison.lineno)
    return found


def durations(tree: ast.Module) -> Iterator[str]:
    """The names that a module gives to the time that has passed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(time_passed(part) for part in ast.walk(node.value)):
            yield from map(ast.unparse, node.targets)


def time_passed(node: ast.AST) -> bool:
    """Whether an expression takes an earlier time from what a clock says."""
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)):
        return False
    calls = [call for call in ast.walk(node.left) if isinstance(call, ast.Call)]
    return any(ast.unparse(call.func).rpartition(".")[2] in CLOCKS for call in calls)


def test_no_test_asserts_its_own_speed() -> None:
    """`benchmarks` measure speed; the one bound, of `tests.waiting`, is for waits that must not be."""
    found = {str(file.relative_to(ROOT)): bounds_on_time(ast.parse(file.read_text())) for file in FILES}
    assert [name for name, lines in found.items() if lines] == ["waiting.py"]


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("assert time.process_time() - began < 1.0", [1]),
        ("assert 5 > time.monotonic() - began", [1]),
        ("assert 1 <= perf_counter() - began <= 2", [1]),
        ("took = time.monotonic() - began\nassert took < 5", [2]),
        ("self.slowest = max(self.slowest, time.monotonic() - began)\nassert self.slowest < 5", [2]),
        ("assert time.monotonic() - began >= 1", []),
        ("assert time.time() - began == 0", []),
        ("assert made_at <= time.time()", []),
        ("assert time.monotonic() < deadline", []),
    ],
)
def test_a_bound_on_time_is_found(code: str, lines: list[int]) -> None:
    assert bounds_on_time(ast.parse(code)) == lines
