"""What `tune` varies: fields of GraphSAGE and the blend, as numbers and names that Optuna can draw.

Arrives: a configuration to start from. Leaves: distributions, and a configuration for every draw from them. Next:
`training.search.tune` draws.

What changes what a model is for (repeats), what only costs time (steps, patience), and what changes the price of a step
tenfold (aggregation, sampled neighbourhoods) is not varied. A trial runs in seconds to a few minutes, so there are tens
of them, and each further dimension thins them out.
"""

from collections.abc import Mapping
from math import inf
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from training.config import SageConfig, TrainingConfig
from training.models.candidate import blend_settings
from training.search.blend_search import FOCUSES

TARGET_HALF_LIVES = (None, 0.3, 0.1)
"""Spans. None for what shops sell all year, a tenth for an assortment that is another one next season."""

HALF_LIVES = ((20.0, 100.0, inf), (1.0, 6.0, 30.0, inf), (5.0, inf), (inf,))
"""Ranks. From long histories to the last click, and none."""

BLEND_L2, BLEND_FOCUS = BLEND = ("blend_l2", "blend_focus")
"""Fields of `TrainingConfig` itself; all others are of `SageConfig`."""


class SearchSpace:
    """The space around one configuration, which it always holds."""

    def __init__(self, base: TrainingConfig) -> None:
        sage, blend = base.sage, blend_settings(base)
        self._base = base
        self._blend = {BLEND_L2: blend.l2, BLEND_FOCUS: blend.focus}
        """What `base` means, also where it names nothing."""
        self._lives = {_named(lives): lives for lives in (*HALF_LIVES, sage.half_lives_ranks)}
        self.distributions: dict[str, BaseDistribution] = {
            "dim": _whole(16, 128, sage.dim, log=True),
            "layers": _whole(1, 3, sage.layers),
            "last_items": _whole(20, 1_000, sage.last_items, log=True),
            "half_lives_ranks": CategoricalDistribution(list(self._lives)),
            "ties": CategoricalDistribution(["basket", "random"]),
            "target_half_life_spans": CategoricalDistribution(
                list(dict.fromkeys((*TARGET_HALF_LIVES, sage.target_half_life_spans)))
            ),
            "loss": CategoricalDistribution(["softmax", "bce", "bpr"]),
            "negatives": _whole(128, 4_096, sage.negatives, log=True),
            "negative_power": FloatDistribution(0.0, 1.0),
            "learning_rate": _real(1e-3, 3e-2, sage.learning_rate),
            "weight_decay": _real(1e-6, 1e-1, sage.weight_decay),
            "batch_size": _whole(512, 8_192, sage.batch_size, log=True),
            BLEND_L2: _real(1e-4, 1.0, blend.l2),
            BLEND_FOCUS: CategoricalDistribution(list(dict.fromkeys((*FOCUSES, blend.focus)))),
        }
        if sage.neighbours is not None:  # they name the hops of so many layers
            del self.distributions["layers"]

    def params(self, **shape: Any) -> dict[str, Any]:
        """The point of the base configuration, with a `shape` of fields of `SageConfig` in its place."""
        fields = self._base.sage.model_copy(update=shape).model_dump() | self._blend
        fields["half_lives_ranks"] = _named(fields["half_lives_ranks"])
        point: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            value = fields[name]
            if not isinstance(distribution, CategoricalDistribution):
                # A logarithm has no zero: no decay at all stands at the lower end. What runs is the base itself.
                value = max(value, distribution.low)  # type: ignore[attr-defined]
            point[name] = value
        return point

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A draw as `training.config_file` writes it: only what differs from the base; checked by `SageConfig`."""
        given = {name: value for name, value in params.items() if name not in BLEND}
        given["half_lives_ranks"] = self._lives[given["half_lives_ranks"]]
        SageConfig.model_validate({**self._base.sage.model_dump(), **given})
        differing = {name: value for name, value in given.items() if value != getattr(self._base.sage, name)}
        if "half_lives_ranks" in differing:  # JSON has no infinity
            differing["half_lives_ranks"] = [str(life) if life == inf else life for life in given["half_lives_ranks"]]
        told: dict[str, Any] = {"sage": differing} if differing else {}
        return told | {name: params[name] for name in BLEND if params[name] != self._blend[name]}

    def config(self, params: Mapping[str, Any]) -> TrainingConfig:
        """The base with those changes."""
        changes = self.changes(params)
        sage = SageConfig.model_validate({**self._base.sage.model_dump(), **changes.pop("sage", {})})
        return self._base.model_copy(update={"sage": sage, **changes})


def _named(lives: tuple[float, ...]) -> str:
    return ", ".join(f"{life:g}" for life in lives)


def _whole(low: int, high: int, base: int, *, log: bool = False) -> IntDistribution:
    low = min(low, base)
    return IntDistribution(max(low, 1) if log else low, max(high, base), log=log)


def _real(low: float, high: float, base: float) -> FloatDistribution:
    return FloatDistribution(min(low, base) if base > 0 else low, max(high, base), log=True)
