"""Models: trains the first models of a playground and publishes their lists.

Arrives: the settings of the services, and the graph. Leaves: models in the registry, lists in Redis. Next: the
playground starts the long-running processes, whose scheduler trains all later models.

The functions run in a process of their own (`training.process`), because PyTorch and the caches of a training need
some hundred megabytes, which a process does not give back while it runs. `prepare` loads the libraries while another
process imports the events.
"""

import os
from collections.abc import Mapping
from typing import Literal

from graphstore.config import PREFIX, GraphstoreConfig
from graphstore.progress import Progress
from graphstore.redis.connection import open_redis
from graphstore.session import now_ms, open_engine
from sagestream.error_messages import told
from sagestream.playground.services import configured
from serving.config import ServingConfig
from serving.publisher import Publisher
from serving.source import ShopSource
from training.config import TrainingConfig
from training.config_file import current_config
from training.lifecycle.run_result import RunResult
from training.options import TrainingOptions

ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Variables of the process: a thread without work sleeps. Spinning, two threads take twice the CPU time of one when
other programs run."""

FIRST_CHAMPION_THREADS = 2
"""Nothing else runs while the first champion is trained (measured on two cores: 6.8 s in place of 8.4)."""


def prepare() -> None:
    """Load the libraries of a training. PyTorch and scikit-learn load parts of theirs at the first use."""
    import scipy.stats
    import sklearn.feature_extraction.text
    import torch

    import training.lifecycle.run  # noqa: F401

    del scipy, sklearn
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])  # loads the compiler, a second on its own


@told
def train(
    settings: Mapping[str, str], kind: Literal["closed_form", "graphsage"], seed: int, progress: Progress
) -> RunResult:
    """Train one model, with the gate, as for any challenger."""
    from training.lifecycle.run import RunSpec, run_training

    graph = configured(GraphstoreConfig, settings)
    config = current_config(configured(TrainingConfig, settings))
    if kind == "closed_form" and f"{PREFIX}TRAINING_THREADS" not in os.environ:
        threads = min(FIRST_CHAMPION_THREADS, os.cpu_count() or 1)
        config = config.model_copy(update={"training_threads": threads})
    engine = open_engine(graph.sqlalchemy_url)
    try:
        return run_training(
            engine,
            RunSpec(kind, "playground"),
            graph=graph,
            config=config,
            now=now_ms,
            options=TrainingOptions(seed=seed, progress=progress),
        )
    finally:
        engine.dispose()


@told
def publish(settings: Mapping[str, str], _progress: Progress) -> None:
    """Publish the lists of the champion."""
    graph = configured(GraphstoreConfig, settings)
    engine, redis = open_engine(graph.sqlalchemy_url), open_redis(graph.redis_url)
    try:
        Publisher(ShopSource(engine), redis, configured(ServingConfig, settings)).reconcile()
    finally:
        redis.close()
        engine.dispose()
