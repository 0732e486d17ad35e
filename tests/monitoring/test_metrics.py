"""The gauges show the newest rates and hide what was not measured."""

from dataclasses import replace

from prometheus_client import REGISTRY

from monitoring.drift.verdict import DriftResult
from monitoring.metrics import show_ctr, show_drift
from monitoring.windows import Figure, TimeWindow

RESULT = DriftResult(
    "drift", "", TimeWindow(0, 5), TimeWindow(5, 9), 1, 1, share=0.5, scores={"price": 0.3}, thresholds={"price": 0.2}
)


def value(name, **labels):
    return REGISTRY.get_sample_value(f"sagestream_{name}", labels)


def rate(segment, start, number):
    figure = Figure("ctr", segment, TimeWindow(start, start + 10), number, 0.1, 0.9, {"impressions": 7, "clicks": 1})
    return figure if number is not None else replace(figure, low=None, high=None, detail={})


def test_each_segment_shows_its_newest_window_with_a_rate():
    show_ctr([rate("all", 0, 0.2), rate("all", 10, 0.3), rate("all", 20, None), rate("model:m1", 0, 0.4)], slots=[])
    assert (value("ctr", segment="all"), value("ctr", segment="model:m1")) == (0.3, 0.4)
    assert (value("ctr_low", segment="all"), value("ctr_high", segment="all")) == (0.1, 0.9)
    assert value("ctr_impressions", segment="all") == 7


def test_a_segment_that_is_gone_and_a_rate_that_is_none_disappear():
    show_ctr([rate("all", 0, 0.2), rate("model:m1", 0, 0.4)], slots=[])
    show_ctr([rate("all", 0, None)], slots=[])
    assert value("ctr", segment="all") is None
    assert value("ctr", segment="model:m1") is None


def test_the_newest_verdict_replaces_the_one_before():
    before = value("drift_reports_total", outcome="drift") or 0
    show_drift(RESULT)
    assert value("drift_share", verdict="drift") == 0.5
    assert value("drift_psi", column="price") == 0.3
    assert value("drift_threshold", column="price") == 0.2
    assert value("drift_reports_total", outcome="drift") == before + 1
    show_drift(replace(RESULT, verdict="insufficient", share=None, scores={}, thresholds={}))
    assert value("drift_share", verdict="drift") is None
    assert value("drift_psi", column="price") is None
    assert value("drift_threshold", column="price") is None
