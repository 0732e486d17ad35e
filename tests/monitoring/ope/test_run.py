"""A question asked of a log in SQL: which lists count, and what a refusal tells."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, update

from graphstore.session import write
from graphstore.tables import impressions
from monitoring.ope.estimators import NoSupport, TooLittleData
from monitoring.ope.logs import Selection
from monitoring.ope.run import Question, ask
from serving.routing import Exploration
from tests.monitoring.ope.shop_log import HOW, LISTED, NOON, SCORES, VARIANT, fill, record_experiment
from training.data.event_log import Histories


class Model:
    """Ranks as the logged model did, for everybody."""

    model_version, as_of = "m1", NOON - 1

    def __init__(self, as_of: int = NOON - 1) -> None:
        self.item_ids, self.as_of = LISTED, as_of

    def histories(self, per_user: Any) -> Histories:
        return Histories.from_rows(per_user)

    def recommend(self, histories: Histories, *, as_of: Any, k: int) -> Any:
        rows = np.tile(np.arange(4), (len(histories), 1))
        return rows, np.tile(np.array(SCORES, dtype=np.float32), (len(histories), 1))


QUESTION = Question(Selection(NOON - 10, NOON + 86_400_000, positions=2), HOW, list_length=100)


def asked(engine: Engine, question: Question = QUESTION, model: Any = None, load: Any = lambda version: Model()) -> Any:
    return ask(engine, question, model=model, load=load)


def test_the_logged_setting_has_the_logged_value(engine: Engine) -> None:
    record_experiment(engine)
    fill(engine, shoppers=60)
    found = asked(engine)
    assert (found.variants, found.notes) == ([VARIANT], [])
    assert found.evaluation.mean_weight == pytest.approx(1.0)
    assert found.evaluation.estimates["ips"].value == pytest.approx(found.evaluation.logged.value)
    colder = asked(engine, replace(QUESTION, how=Exploration(0.7, 0.1)))
    assert colder.evaluation.estimates["ips"].value != found.evaluation.estimates["ips"].value


def test_lists_of_deleted_models_are_left_out_and_told(sqlite_engine: Engine) -> None:
    record_experiment(sqlite_engine)
    fill(sqlite_engine, shoppers=60)
    with write(sqlite_engine) as connection:
        old = impressions.c.event_time < NOON + 1000
        connection.execute(update(impressions).where(old).values(model_version="m0"))
    found = asked(sqlite_engine, load=lambda version: None if version == "m0" else Model())
    assert found.evaluation.lists == 180
    assert found.notes == ["60 lists of m0 are left out: its bundle is gone"]
    with pytest.raises(TooLittleData, match=r"0 lists.*; 180 lists of m1 are left out: its bundle is gone"):
        asked(sqlite_engine, load=lambda version: None)


def test_only_lists_after_the_training_of_the_model_count(sqlite_engine: Engine) -> None:
    record_experiment(sqlite_engine)
    fill(sqlite_engine, shoppers=60)
    found = asked(sqlite_engine, model=Model(as_of=NOON + 1000))
    assert found.evaluation.lists == 180
    assert "only lists after 2023-11-14" in found.notes[0]
    with pytest.raises(NoSupport, match=r"every propensity is 1.*; only lists after"):
        asked(sqlite_engine, model=Model(as_of=NOON + 10_000))
