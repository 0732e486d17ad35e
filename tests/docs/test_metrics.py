"""The list of metrics is the one that the processes register: names, types, labels, units, processes."""

import importlib
import re

from prometheus_client import REGISTRY

from tests.docs.pages import page
from tests.docs.process_metrics import PROCESSES, Metric, metrics_in_code, modules, processes_by_metric

ROW = re.compile(r"^\| `(sagestream_\w+)` \| (\w+) \| ?(.*?) ?\| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", re.MULTILINE)
TEXT = page("docs/metrics.md").text
ROWS = ROW.findall(TEXT)
LISTED = {Metric(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels, *_ in ROWS}
TIMES = {"_timestamp_seconds": "epoch seconds", "_as_of_seconds": "epoch seconds", "_seconds": "seconds"}
"""The unit by the end of the name. The first that fits counts."""


def test_every_row_of_the_table_is_read() -> None:
    assert len(ROWS) == len(LISTED) == len(re.findall(r"^\| `sagestream_", TEXT, re.MULTILINE)) > 40


def test_the_list_is_what_the_code_defines() -> None:
    assert metrics_in_code() == LISTED


def test_the_list_is_what_the_client_library_registers() -> None:
    """Loaded and looked up by name: a metric that is made in another way than the others would be missing above."""
    for module in modules():
        if "prometheus_client" in modules()[module].read_text(encoding="utf-8"):
            importlib.import_module(module)
    families = [family for family in REGISTRY.collect() if family.name.startswith("sagestream_")]
    known = {(family.name + ("_total" if family.type == "counter" else ""), family.type) for family in families}
    assert known == {(metric.name, metric.type) for metric in LISTED}


def test_each_metric_names_the_processes_that_show_it() -> None:
    """A metric with labels has no series in a process that only loads it. One without labels has, and shows a 0."""
    loaded = processes_by_metric()
    for name, _, labels, _, processes, _ in ROWS:
        named = PROCESSES if processes == "all" else tuple(processes.split(", "))
        assert set(named) <= set(loaded[name]), name
        assert labels or named == loaded[name], name


def test_each_metric_has_a_unit_and_its_name_says_the_same() -> None:
    for name, _, _, unit, _, meaning in ROWS:
        wanted = next((unit for end, unit in TIMES.items() if name.endswith(end)), None)
        assert wanted is None or unit == wanted, name
        assert wanted is not None or "second" not in unit, name
        assert len(meaning) > 10


def test_every_metric_that_another_page_names_exists() -> None:
    known = {metric.name for metric in LISTED}
    for name in ("docs/operations.md", "README.md"):
        assert set(re.findall(r"`(sagestream_\w+)`", page(name).text)) <= known
