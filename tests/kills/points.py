"""The instructions of the worker at which a kill hurts most, in the order in which a batch passes them."""

import enum
import signal
from typing import NamedTuple


class Point(enum.StrEnum):
    """Between which two steps of a batch the worker dies."""

    BEFORE_SQL = "before_sql"
    IN_SQL = "in_sql"  # after one of the statements of the transaction
    BEFORE_COMMIT = "before_commit"  # all statements done
    AFTER_COMMIT = "after_commit"  # before the first Redis command
    IN_REDIS = "in_redis"  # after some of the batch's commands
    AFTER_REDIS = "after_redis"
    ANNOUNCING = "announcing"  # some messages handed to Kafka, some not
    ANNOUNCED = "announced"  # everything of the batch done, nothing acknowledged
    COMMITTING = "committing"  # before the offsets commit
    COMMITTED = "committed"


class Fault(NamedTuple):
    """What happens to the worker when it passes `point` for the `passes`-th time."""

    point: Point
    passes: int
    number: signal.Signals = signal.SIGKILL
