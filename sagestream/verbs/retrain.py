"""Retrain: asks the scheduler for a new model."""

import time
from dataclasses import asdict
from typing import Annotated

import typer

from graphstore.config import GraphstoreConfig
from sagestream.printable import BadParameter, PlainConsole, echo_result
from sagestream.stages import Stages

REQUESTED_BY = "command line"
POLL_SECONDS = 1.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(retrain)


def retrain(
    full: Annotated[
        bool, typer.Option("--full", help="Train GraphSAGE from scratch; without it, what is due is trained.")
    ] = False,
    why: Annotated[str, typer.Option(help="The reason, for `history`.")] = "by hand",
    wait: Annotated[bool, typer.Option("--wait", help="Wait until a run has answered; 1 if it could not.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the scheduler for a new model. It begins when enough is new to judge a model on, a full one at once."""
    from graphstore.redis.asked import MAX_REASON_LENGTH
    from graphstore.session import now_ms, open_existing, read, write
    from training.lifecycle.registry import request_retrain
    from training.lifecycle.requests import DROPPED, get_request

    if not why.strip() or len(why) > MAX_REASON_LENGTH:
        raise BadParameter(f"give a reason of 1 to {MAX_REASON_LENGTH} characters", param_hint="--why")
    engine = open_existing(GraphstoreConfig().sqlalchemy_url)
    with write(engine) as connection:
        key = request_retrain(connection, reason=why, requested_by=REQUESTED_BY, now=now_ms(), full=full)
        request = get_request(connection, key)
    if wait:
        stages = Stages(PlainConsole(stderr=True))
        with stages.stage("retrain", "Wait for the scheduler"):
            while request.finished_at is None:
                time.sleep(POLL_SECONDS)
                with read(engine) as connection:
                    request = get_request(connection, key)
    engine.dispose()
    ended = f", {request.outcome}" if request.outcome else ": the scheduler trains, `sagestream history` tells"
    echo_result(asdict(request), f"request {key} is {request.status}{ended}", as_json=as_json)
    if request.status == DROPPED:
        raise typer.Exit(1)
