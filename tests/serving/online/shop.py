"""A small shop in SQL with a real model of closed-form terms, as `tests.serving.test_real_model` fits it."""

from pathlib import Path

from sqlalchemy import Engine, update

from graphstore.session import write
from graphstore.tables import models
from serving.source import ShopSource
from tests.serving.test_real_model import BASKETS, HOUR_MS, T0, fit
from tests.serving.toy import register, touch

VERSION = "real"


def open_shop(engine: Engine, directory: Path) -> Path:
    """Store the baskets, fit a model and register it as the champion. Return its bundle."""
    time = T0
    for user, basket in BASKETS.items():
        for item in basket.split():
            time += HOUR_MS
            touch(engine, user, item, time)
    touch(engine, "first", "elder", T0)
    bundle = fit(ShopSource(engine), directory)
    register(engine, VERSION)
    with write(engine) as connection:
        connection.execute(update(models).values(bundle=str(bundle)))
    return bundle
