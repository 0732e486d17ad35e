"""Settings: all settings of all packages, and warnings for unknown variables.

Arrives: the variables of an environment. Leaves: a sentence for each variable with the prefix that no package reads. It
is misspelled, or from an older version; then the sentence names the replacement. Next: `sagestream.cli` warns at the
start of each process, `sagestream.doctor` lists them. `sagestream.settings_reference` documents the settings.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from pydantic_settings import BaseSettings

from graphstore.config import FILE_SUFFIX, PREFIX, GraphstoreConfig, holds_secret
from monitoring.config import MonitoringConfig
from serving.config import ServingConfig
from stream.config import StreamConfig
from training.config import SageConfig, TrainingConfig, TrainingFile

CLOSE = 0.7
"""The similarity from which an unknown name counts as a misspelled setting; 1 means equal."""

CONFIGS: dict[str, type[BaseSettings]] = {
    "Graph store": GraphstoreConfig,
    "Stream": StreamConfig,
    "Training": TrainingConfig,
    "Serving": ServingConfig,
    "Monitoring": MonitoringConfig,
}
"""The settings of each package, in the order of the layers."""

TRAINING_FILE = f"{PREFIX}TRAINING_CONFIG"

PROBE_PORTS = ("worker_port", "nearline_port", "publisher_port", "scheduler_port", "monitor_port")
"""Settings that `probe_port` replaced."""

REPLACED: dict[str, tuple[str, ...]] = {
    "near_ttl_seconds": ("visitor_days",),
    "attribution_lookback_seconds": ("attribution_click_seconds", "attribution_conversion_seconds"),
}
"""Settings of older versions, with those that stand for them now."""

CONSTANTS = {
    "recent_items": "graphstore.redis.hot.RECENT_ITEMS",
    "trending_items": "graphstore.redis.hot.TRENDING_ITEMS",
    "producer_linger_ms": "stream.kafka.producer.LINGER_MS",
    "worker_batch_seconds": "stream.worker.app.BATCH_SECONDS",
    "worker_fetch_wait_seconds": "stream.kafka.topics.FETCH_MAX_WAIT_MS",
    "worker_dead_window": "stream.worker.dlq_limit.WINDOW",
    "retrain_attempts": "training.lifecycle.requests.MAX_ATTEMPTS",
    "history_limit": "serving.source.HISTORY_LIMIT",
    "publish_block_users": "serving.publication.BLOCK_USERS",
    "reconcile_seconds": "serving.publisher.RECONCILE_SECONDS",
    "retired_ttl_seconds": "serving.publisher.RETIRED_TTL_SECONDS",
    "nearline_batch_users": "serving.nearline.BATCH_USERS",
    "freshness_samples": "serving.nearline.FRESHNESS_SAMPLES",
    "cache_timeout_seconds": "serving.cache.READ_TIMEOUT_SECONDS",
    "pointer_seconds": "serving.cache.POINTER_SECONDS",
    "item_seconds": "serving.cache.ITEM_SECONDS",
    "max_posted_events": "serving.web.settings.MAX_POSTED_EVENTS",
    "delivery_seconds": "serving.web.settings.DELIVERY_SECONDS",
    "outbox_events": "serving.web.settings.OUTBOX_EVENTS",
    "ctr_open_windows": "monitoring.dirty_windows.NEWEST_HOURS",
    "ctr_window_seconds": "graphstore.tables.HOUR_MS",
    "ctr_positions": "monitoring.segments.LAST_POSITION",
    "ctr_reference_windows": "monitoring.triggers.hours.HISTORY_DAYS",
    "ctr_min_impressions": "monitoring.triggers.fall.FALSE_ALARM_HOURS",
    "drift_sample_rows": "monitoring.drift.traffic.SAMPLE_EVENTS",
    "drift_min_rows": "monitoring.drift.judgement.MIN_VALUES",
    "drift_timeout_seconds": "monitoring.drift.child.TIMEOUT_SECONDS",
    "reports_kept": "monitoring.drift.report_files.REPORTS_KEPT",
}
"""Settings of older versions that are now constants, with the place of each constant."""

DRIFT_LIMITS = ("drift_psi", "drift_share")
"""The limits that older versions had for all columns together."""


def variables(config: type[BaseSettings]) -> list[str]:
    """Return the names of the fields that a package reads from the environment."""
    elsewhere: set[str] = set(TrainingFile.model_fields) if issubclass(config, TrainingFile) else set()
    return [name for name in config.model_fields if name not in elsewhere]


def secrets() -> list[str]:
    """Return the names of the settings that may hold a secret."""
    return [
        name
        for config in CONFIGS.values()
        for name in variables(config)
        if holds_secret(name, config.model_fields[name])
    ]


def foreign_variables(environment: Iterable[str]) -> list[str]:
    """Return a sentence for each variable with the prefix that no package reads, sorted by name."""
    known = {f"{PREFIX}{name.upper()}" for config in CONFIGS.values() for name in variables(config)}
    known |= {f"{PREFIX}{name.upper()}{FILE_SUFFIX}" for name in secrets()}
    # As in pydantic, upper and lower case are equal.
    ours = sorted(name for name in environment if name.upper().startswith(PREFIX))
    return [f"{name} {_fate(name, known)}" for name in ours if name.upper() not in known]


def _fate(variable: str, known: Iterable[str]) -> str:
    name = variable.upper().removeprefix(PREFIX).lower()
    if name in TrainingFile.model_fields and name != "sage":
        return f'is no longer read: set "{name}" in the training file that {TRAINING_FILE} names'
    group, _, field = name.partition("__")
    if group == "sage":
        inner = f'"{field}" under "sage"' if field in SageConfig.model_fields else '"sage"'
        return f"is no longer read: set {inner} in the training file that {TRAINING_FILE} names"
    if name in DRIFT_LIMITS:
        return f"is no longer read: each column has its own limit, and {PREFIX}DRIFT_QUIET_DAYS sets how seldom it errs"
    if name in PROBE_PORTS:
        return f"is no longer read: {PREFIX}PROBE_PORT sets the ports of all processes"
    if name in REPLACED:
        return f"is no longer read: {' and '.join(f'{PREFIX}{new.upper()}' for new in REPLACED[name])} replace it"
    if name in CONSTANTS:
        return f"is no longer read: the value is fixed, as {CONSTANTS[name]}"
    close = get_close_matches(name, [one.removeprefix(PREFIX).lower() for one in known], n=1, cutoff=CLOSE)
    return "is not a setting" + (f": did you mean {PREFIX}{close[0].upper()}?" if close else "")
