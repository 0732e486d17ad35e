"""Alert rules and the dashboard, held to the metrics that exist; Prometheus and Grafana, held to the compose file."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from stream.config import StreamConfig
from tests.docs.pages import page
from tests.docs.process_metrics import PROCESSES, Metric, metrics_in_code, processes_by_metric

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
PROMETHEUS = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "sagestream.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

BY_PROMETHEUS = {"job", "instance"}
OTHERS = {
    "up": Metric("up", "gauge", ()),
    "ALERTS": Metric("ALERTS", "gauge", ("alertname", "alertstate", "severity")),
    "process_resident_memory_bytes": Metric("process_resident_memory_bytes", "gauge", ()),
    "process_cpu_seconds_total": Metric("process_cpu_seconds_total", "counter", ()),
}
"""Series that are not ours: of Prometheus, and of its client library."""
SERIES = OTHERS | {
    name: Metric(name, "counter" if end else metric.type, (*metric.labels, *labels))
    for metric in metrics_in_code()
    for end, labels in (
        [("_bucket", ("le",)), ("_sum", ()), ("_count", ())] if metric.type == "histogram" else [("", ())]
    )
    if (name := metric.name + end)
}
"""Each name that an expression may use, with its labels. The parts of a histogram are counters."""
OVER_TIME = {"rate", "increase", "irate"}
NEW_SERIES = re.compile(r"(sagestream_\w+(?:\{[^}]*\})?)\s+unless\s+\1 offset")
"""A counter that did not exist a while ago, which `increase` does not see."""

EXPRESSIONS = [
    *((rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in RULES),
    *((panel["title"], one["expr"], one.get("legendFormat", "")) for panel in PANELS for one in panel["targets"]),
]


def selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    """The series that an expression selects."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)
        elif isinstance(node, promql.MatrixSelector):
            found.append(node.vector_selector)

    promql.walk(expression, visit)
    return found


def labels_of(expression: promql.Expr) -> set[str]:
    """The labels that the series of an expression may have."""
    return BY_PROMETHEUS | {label for one in selectors(expression) for label in SERIES[one.name or ""].labels}


def aggregations(expression: promql.Expr) -> Iterator[promql.AggregateExpr]:
    found: list[promql.AggregateExpr] = []
    promql.walk(expression, lambda node: found.append(node) if isinstance(node, promql.AggregateExpr) else None)
    yield from found


def calls(expression: promql.Expr) -> Iterator[promql.Call]:
    found: list[promql.Call] = []
    promql.walk(expression, lambda node: found.append(node) if isinstance(node, promql.Call) else None)
    yield from found


@pytest.mark.parametrize(("place", "text", "said"), EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(place: str, text: str, said: str) -> None:
    expression = promql.parse(text)
    found = selectors(expression)
    assert found
    for one in found:
        assert one.name in SERIES
        wanted = {matcher.name for matcher in one.matchers.matchers}
        assert wanted <= {*SERIES[one.name].labels, *BY_PROMETHEUS}, one
    for aggregation in aggregations(expression):
        if aggregation.modifier is not None:
            assert set(aggregation.modifier.labels) <= labels_of(aggregation.expr), aggregation.prettify()
    named = set(re.findall(r"\$labels\.(\w+)|\{\{\s*(\w+)\s*\}\}", said))
    assert {label for pair in named for label in pair if label} <= labels_of(expression), said


@pytest.mark.parametrize(("place", "text", "said"), EXPRESSIONS)
def test_a_counter_is_read_over_time_and_a_gauge_is_not(place: str, text: str, said: str) -> None:
    expression = promql.parse(NEW_SERIES.sub("up offset", text))
    over_time = [
        one.name for call in calls(expression) if call.func.name in OVER_TIME for one in selectors(call.args[0])
    ]
    assert all(SERIES[name or ""].type == "counter" for name in over_time)
    at_once = [one.name for one in selectors(expression)]
    for name in over_time:
        at_once.remove(name)
    assert all(SERIES[name or ""].type == "gauge" for name in at_once), at_once


def test_each_alarm_of_the_page_is_a_rule_and_the_other_way_round() -> None:
    table = page("docs/operations.md").section("## Alarms")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    assert [name for name, *_ in rows] == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("page", "warn")


def test_every_metric_of_ours_is_on_the_dashboard() -> None:
    shown = {
        one.name for panel in PANELS for target in panel["targets"] for one in selectors(promql.parse(target["expr"]))
    }
    assert {metric.name for metric in metrics_in_code()} <= {
        re.sub("_(bucket|sum|count)$", "", name or "") for name in shown
    }


def test_a_condition_on_a_job_names_the_process_that_has_the_metric() -> None:
    jobs = {config["job_name"] for config in PROMETHEUS["scrape_configs"]}
    assert jobs == set(PROCESSES) == {name for names in processes_by_metric().values() for name in names}
    for _, text, _ in EXPRESSIONS:
        for job in re.findall(r'job=~?"([^"]+)"', text):
            assert set(job.split("|")) <= jobs


def test_prometheus_asks_each_process_where_its_probe_answers() -> None:
    for config in PROMETHEUS["scrape_configs"]:
        (found,) = config["dns_sd_configs"]
        assert set(found["names"]) <= set(SERVICES)
        assert found["names"][0] == config["job_name"]
        assert found["port"] == StreamConfig().probe_port_of(config["job_name"])
    assert PROMETHEUS["rule_files"] == ["/etc/prometheus/alerts.yml"]


def test_the_two_are_a_profile_on_loopback_with_the_files_that_they_are_told_of() -> None:
    for name, port in (("prometheus", 9090), ("grafana", 3000)):
        service = SERVICES[name]
        assert service["profiles"] == ["monitoring"]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (ROOT / source).exists()
                assert mode == ["ro"]
                assert target.startswith("/etc/")
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/sagestream.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    home = re.search(r"default_home_dashboard_path = (.+)", (DEPLOY / "grafana/grafana.ini").read_text())
    assert home is not None and home[1] == f"{provider['options']['path']}/sagestream.json"
    assert {panel["datasource"]["uid"] for panel in PANELS} == {source["uid"]}


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    every: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    cells = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in every)
    ]
    assert all(not one & other for one, other in combinations(cells, 2))
    assert all(0 <= x < 24 for cell in cells for x, _ in cell)
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool of Prometheus is not installed")
def test_the_rules_ring_when_they_should() -> None:
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
