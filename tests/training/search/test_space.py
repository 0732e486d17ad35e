"""The space: every draw is a valid configuration, and the file of its changes leads back to it."""

import json
from math import inf

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from training.config import SageConfig, TrainingConfig
from training.config_file import load_config
from training.models.candidate import blend_settings
from training.search.model_search import BASKETS, CHOICES, RECENT
from training.search.space import BLEND, SearchSpace

BASES = (
    TrainingConfig(),
    TrainingConfig(
        sage=SageConfig(dim=300, layers=0, half_lives_ranks=(7.0,), batch_size=1), blend_l2=5.0, blend_focus=3.0
    ),
    TrainingConfig(sage=SageConfig(layers=1, neighbours=(3, 3), last_items=1, target_half_life_spans=0.7)),
)


def draws(space: SearchSpace) -> st.SearchStrategy[dict[str, object]]:
    def one(distribution: object) -> st.SearchStrategy[object]:
        if isinstance(distribution, CategoricalDistribution):
            return st.sampled_from(distribution.choices)
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        if isinstance(distribution, IntDistribution):
            return st.integers(distribution.low, distribution.high)
        return st.floats(distribution.low, distribution.high)

    return st.fixed_dictionaries({name: one(part) for name, part in space.distributions.items()})


@given(data=st.data(), base=st.sampled_from(BASES))
def test_the_file_of_a_draw_leads_to_its_configuration(tmp_path_factory, data, base):
    space = SearchSpace(base)
    params = data.draw(draws(space))
    config = space.config(params)
    assert config.sage.neighbours == base.sage.neighbours
    changes = space.changes(params)
    file = tmp_path_factory.mktemp("draw") / "tuned.json"
    whole = {"sage": json.loads(base.sage.model_dump_json()) | changes.get("sage", {})}
    blend = {name: changes.get(name, getattr(base, name)) for name in BLEND}
    file.write_text(json.dumps(whole | blend))
    loaded = load_config(file, base=base)
    assert loaded.sage == config.sage
    assert [getattr(loaded, name) for name in BLEND] == [getattr(config, name) for name in BLEND]
    for name, value in params.items():
        if name in BLEND:
            assert getattr(blend_settings(config), name.removeprefix("blend_")) == value
        elif name != "half_lives_ranks":
            assert getattr(config.sage, name) == value


@pytest.mark.parametrize("base", BASES)
def test_the_base_lies_in_its_own_space_and_changes_nothing(base):
    space = SearchSpace(base)
    point = space.params()
    study = optuna.create_study()
    study.enqueue_trial(point)
    trial = study.ask(space.distributions)
    assert trial.params == point  # Optuna draws again where a value lies outside
    assert space.changes(point) == {}
    assert space.config(point) == base


@pytest.mark.parametrize("shape", [CHOICES, BASKETS, RECENT])
def test_known_shapes_lie_in_the_space(shape):
    space = SearchSpace(TrainingConfig())
    sage = space.config(space.params(**shape)).sage
    assert all(getattr(sage, name) == value for name, value in shape.items())


def test_no_decay_at_all_stands_at_the_lower_end():
    space = SearchSpace(TrainingConfig(sage=SageConfig(weight_decay=0.0)))
    assert space.params()["weight_decay"] == pytest.approx(1e-6)


def test_infinity_is_a_word():
    space = SearchSpace(TrainingConfig())
    changes = space.changes(space.params(half_lives_ranks=(5.0, inf)))
    assert changes == {"sage": {"half_lives_ranks": [5.0, "inf"]}}
