"""No input from outside makes time series without end: each labelled metric is flooded with odd values and counted."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from django.test import Client
from django.urls import get_resolver
from prometheus_client import REGISTRY

from graphstore.redis import corrupt
from monitoring import metrics as monitored
from monitoring.drift.verdict import DriftResult
from monitoring.metric_segments import KEPT
from monitoring.windows import Figure, TimeWindow
from serving.slots.slot_book import SlotBook
from serving.web import metrics as web_metrics
from serving.web import outbox
from stream.dlq import dead_letters
from stream.kafka.topics import TOPICS
from tests.docs.process_metrics import metrics_in_code

ODD = [f"{odd}{number}" for number in range(60) for odd in ("", "a\n", 'q"', "é\x00", "x" * 200)]
SLOTS = SlotBook().current()
SEGMENTS = 1 + len(SLOTS) + 1 + sum(KEPT.values()) + len(KEPT)
HOURS = [TimeWindow(hour, hour + 1) for hour in (0, 1)]


def show_segments() -> None:
    segments = ["all", *(f"{kind}:{odd}" for kind in ("slot", "surprise", *KEPT) for odd in [*ODD, *SLOTS])]
    detail = {"impressions": 9, "clicks": 1}
    figures = [Figure("ctr", name, hour, 0.1, 0.0, 0.2, detail) for name in segments for hour in HOURS]
    monitored.show_ctr(figures, slots=SLOTS)


def show_drift() -> None:
    scores = dict.fromkeys(ODD, 0.1)
    monitored.show_drift(DriftResult("drift", "", *HOURS, 1, 1, share=0.5, scores=scores, thresholds=scores))


def count_dead_letters() -> None:
    bad = [dead_letters.Bad(0, SimpleNamespace(topic=odd), odd, "") for odd in ODD]
    dead_letters.count(bad)


FLOODS: dict[str, tuple[Callable[[], object], int]] = {
    "ctr": (show_segments, SEGMENTS),
    "ctr_low": (show_segments, SEGMENTS),
    "ctr_high": (show_segments, SEGMENTS),
    "ctr_impressions": (show_segments, SEGMENTS),
    "drift_psi": (show_drift, monitored.MAX_COLUMNS),
    "drift_threshold": (show_drift, monitored.MAX_COLUMNS),
    "drift_share": (show_drift, 1),
    "experiment_sample_ratio_p": (
        lambda: monitored.show_experiments(dict.fromkeys(ODD, 0.5)),
        monitored.MAX_EXPERIMENTS,
    ),
    "dead_letters_total": (count_dead_letters, (len(TOPICS) + 1) * (len(dead_letters.KINDS) + 1)),
    "redis_corrupt_total": (lambda: [corrupt.left_out(odd, "key", "") for odd in ODD], len(corrupt.KINDS) + 1),
    "http_dropped_total": (lambda: [web_metrics.dropped(odd) for odd in ODD], len(web_metrics.REASONS) + 1),
    "outbox_events_total": (
        lambda: [outbox.count(odd, odd) for odd in ODD],
        (len(TOPICS) + 1) * (len(outbox.OUTCOMES) + 1),
    ),
}
"""By metric: what floods it, and how many series it may have then."""

FIXED = {
    "http_seconds": "routes of the web server and statuses: the last test asks for others",
    "degraded_lists_total": "kinds of slots, which the code names",
    "events_total": "topics and outcomes are written in stream.worker.worker",
    "lag_messages": "the worker's own topics, and their partitions",
    "worker_waiting": "the worker's own topics",
    "worker_stopped": "the worker's own topics",
    "training_run_start_timestamp_seconds": "one running run, of a kind that the code names",
    "training_heartbeat_timestamp_seconds": "one running run, of a kind that the code names",
    "training_last_success_timestamp_seconds": "kinds that the code names",
    "training_failures_in_a_row": "kinds that the code names",
    "training_runs_total": "kinds and outcomes that the code names",
    "drift_reports_total": "verdicts that the code names",
    "alarm": "names of monitoring.alarms.conditions.ALARMS",
    "alarms_total": "names of monitoring.alarms.conditions.ALARMS",
    "alarm_deliveries_total": "outcomes that the code names",
    "dashboard_pages_total": "outcomes that the code names",
    "errands_total": "kinds that the decoder of errands takes, and outcomes that the code names",
    "shop_lists_as_of_seconds": "the two steps of serving.shop_lists.refresh",
    "shop_lists_seconds": "the two steps of serving.shop_lists.refresh",
    "probation_rate": "rates and models that the code names",
    "probation_difference": "rates and bounds that the code names",
    "probations_total": "outcomes that the code names",
    "monitor_passes_total": "outcomes that the code names",
    "ranker_requests_total": "results that the code names",
    "ranker_refused_total": "kinds that serving.online.door.STATUS names",
}
"""Labelled metrics that no value from outside reaches, with the reason."""


def series(name: str) -> int:
    """How many combinations of labels the metric has now."""
    name = f"sagestream_{name}".removesuffix("_total")
    (family,) = [family for family in REGISTRY.collect() if family.name == name]
    return len(
        {
            tuple(sorted((label, value) for label, value in sample.labels.items() if label != "le"))
            for sample in family.samples
        }
    )


def test_every_labelled_metric_is_flooded_or_says_why_not() -> None:
    labelled = {metric.name.removeprefix("sagestream_") for metric in metrics_in_code() if metric.labels}
    assert labelled == {*FLOODS, *FIXED}
    assert not set(FLOODS) & set(FIXED)


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_odd_values_makes_few_series(name: str) -> None:
    flood, bound = FLOODS[name]
    flood()
    assert 1 <= series(name) <= bound < 150


def test_a_flood_of_odd_requests_makes_one_route(client: Client) -> None:
    for odd in ODD:
        assert client.get(f"/{odd.encode().hex()}/").status_code == 404
        assert client.get("/recommendations/ann/", {"slot": odd or "-"}).status_code == 400
    routes = {
        sample.labels["route"]
        for family in REGISTRY.collect()
        if family.name == "sagestream_http_seconds"
        for sample in family.samples
    }
    known = {str(name) for name in get_resolver().reverse_dict if isinstance(name, str)}
    for namespace, (_, resolver) in get_resolver().namespace_dict.items():
        known |= {f"{namespace}:{name}" for name in resolver.reverse_dict if isinstance(name, str)}
    assert routes <= known | {"unmatched"}
    assert series("http_seconds") <= (len(known) + 1) * 10
