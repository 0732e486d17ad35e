"""Search space: the fields of GraphSAGE and the blend that `tune` varies, as Optuna distributions.

Arrives: a configuration to start from. Leaves: distributions, and a configuration for every draw. Next:
`training.search.tune` draws.

Three groups of fields do not vary: those that change the purpose of a model (repeats), those that only cost time
(steps, patience), and those that make a step several times slower (aggregation, sampled neighbourhoods). A trial takes
seconds to a few minutes, so there are tens of trials. Each further dimension makes the search sparser.
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
"""In spans of the past. None is for stable assortments, a tenth for an assortment that changes every season."""

HALF_LIVES = ((20.0, 100.0, inf), (1.0, 6.0, 30.0, inf), (5.0, inf), (inf,))
"""In ranks. From long histories to the last click, and without decay."""

BLEND_L2, BLEND_FOCUS = BLEND = ("blend_l2", "blend_focus")
"""Fields of `TrainingConfig`. All others are fields of `SageConfig`."""


class SearchSpace:
    """The search space around one configuration, which it always contains."""

    def __init__(self, base: TrainingConfig) -> None:
        sage, blend = base.sage, blend_settings(base)
        self._base = base
        self._blend = {BLEND_L2: blend.l2, BLEND_FOCUS: blend.focus}
        """The effective values of `base`, also for fields that it does not set."""
        self._lives = {_lives_name(lives): lives for lives in (*HALF_LIVES, sage.half_lives_ranks)}
        self.distributions: dict[str, BaseDistribution] = {
            "dim": _int_range(16, 128, sage.dim, log=True),
            "layers": _int_range(1, 3, sage.layers),
            "last_items": _int_range(20, 1_000, sage.last_items, log=True),
            "half_lives_ranks": CategoricalDistribution(list(self._lives)),
            "ties": CategoricalDistribution(["basket", "random"]),
            "target_half_life_spans": CategoricalDistribution(
                list(dict.fromkeys((*TARGET_HALF_LIVES, sage.target_half_life_spans)))
            ),
            "loss": CategoricalDistribution(["softmax", "bce", "bpr"]),
            "negatives": _int_range(128, 4_096, sage.negatives, log=True),
            "negative_power": FloatDistribution(0.0, 1.0),
            "learning_rate": _float_range(1e-3, 3e-2, sage.learning_rate),
            "weight_decay": _float_range(1e-6, 1e-1, sage.weight_decay),
            "batch_size": _int_range(512, 8_192, sage.batch_size, log=True),
            BLEND_L2: _float_range(1e-4, 1.0, blend.l2),
            BLEND_FOCUS: CategoricalDistribution(list(dict.fromkeys((*FOCUSES, blend.focus)))),
        }
        if sage.neighbours is not None:  # it gives the fan-out for each layer, so the number of layers is fixed
            del self.distributions["layers"]

    def params(self, **shape: Any) -> dict[str, Any]:
        """Return the point of the base configuration. `shape` replaces fields of `SageConfig`."""
        fields = self._base.sage.model_copy(update=shape).model_dump() | self._blend
        fields["half_lives_ranks"] = _lives_name(fields["half_lives_ranks"])
        point: dict[str, Any] = {}
        for name, distribution in self.distributions.items():
            value = fields[name]
            if not isinstance(distribution, CategoricalDistribution):
                # A log scale has no zero, so zero decay becomes the lower end. The trial itself uses the base.
                value = max(value, distribution.low)  # type: ignore[attr-defined]
            point[name] = value
        return point

    def changes(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a draw for `training.config_file`: only values that differ from the base. `SageConfig` checks them."""
        given = {name: value for name, value in params.items() if name not in BLEND}
        given["half_lives_ranks"] = self._lives[given["half_lives_ranks"]]
        SageConfig.model_validate({**self._base.sage.model_dump(), **given})
        differing = {name: value for name, value in given.items() if value != getattr(self._base.sage, name)}
        if "half_lives_ranks" in differing:  # JSON has no infinity
            differing["half_lives_ranks"] = [str(life) if life == inf else life for life in given["half_lives_ranks"]]
        changed: dict[str, Any] = {"sage": differing} if differing else {}
        return changed | {name: params[name] for name in BLEND if params[name] != self._blend[name]}

    def config(self, params: Mapping[str, Any]) -> TrainingConfig:
        """Return the base configuration with these changes."""
        changes = self.changes(params)
        sage = SageConfig.model_validate({**self._base.sage.model_dump(), **changes.pop("sage", {})})
        return self._base.model_copy(update={"sage": sage, **changes})


def _lives_name(lives: tuple[float, ...]) -> str:
    return ", ".join(f"{life:g}" for life in lives)


def _int_range(low: int, high: int, base: int, *, log: bool = False) -> IntDistribution:
    low = min(low, base)
    return IntDistribution(max(low, 1) if log else low, max(high, base), log=log)


def _float_range(low: float, high: float, base: float) -> FloatDistribution:
    return FloatDistribution(min(low, base) if base > 0 else low, max(high, base), log=True)
