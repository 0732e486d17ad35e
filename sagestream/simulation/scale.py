"""Scale: settings that fit a small shop in fast time.

Arrives: the settings of the environment. Leaves: the `ShopConfig` of a simulation. Next: `sagestream.simulation.run`.

A setting that somebody chose stays as it is: trying settings is what a simulation is for. The rest fits the size of the
simulated shop.
"""

from collections.abc import Mapping

from sagestream.simulation.shop import ShopConfig
from training.config import SageConfig

QUICK_SAGE = SageConfig(dim=16, max_steps=20, evaluate_every=10, graph_edges=5_000, batch_size=512, negatives=128)
"""A GraphSAGE that trains in about a second. A shop with some thousand events has no use for a larger one."""
ONE_FULL_RUN_SECONDS = 365 * 86_400.0
"""GraphSAGE is trained once, and updated then."""


def scaled(config: ShopConfig, *, events_a_day: float) -> ShopConfig:
    """Return the settings for a shop with so many events a day. It trains about once a day."""
    training_fit = {
        "retrain_min_events": max(1, round(events_a_day)),
        "retrain_full_seconds": ONE_FULL_RUN_SECONDS,
        "sage": QUICK_SAGE,
    }
    training = config.training
    return ShopConfig(
        training.model_copy(update=_unchosen(training_fit, training.model_fields_set)),
        config.serving,
        config.monitoring,
    )


def _unchosen(fit: Mapping[str, object], chosen: set[str]) -> dict[str, object]:
    return {name: value for name, value in fit.items() if name not in chosen}
