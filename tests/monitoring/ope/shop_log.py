"""A shop in SQL whose home slot explores: lists are drawn as the web process draws them, clicks follow known rates."""

import numpy as np
from sqlalchemy import Engine, insert

from graphstore.ingest import InteractionRow, ingest_interactions
from graphstore.session import write
from graphstore.tables import EVENT_TYPES, experiments
from graphstore.upserts import ImpressionRow, insert_impressions
from monitoring.attribution import attribute_now
from serving.exploration import NEW, draw, seed_of
from serving.routing import Exploration

NOON = 1_700_000_000_000
LISTED = ["a", "b", "c", "d"]
SCORES = [2.0, 1.5, 1.0, 0.5]
FRESH = ["x", "y"]
RATES = {"a": 0.1, "b": 0.5, "c": 0.2, "d": 0.6, "x": 0.3, "y": 0.3}
HOW = Exploration(temperature=1.0, new_items=0.2)
VARIANT = "try/wide"
CLICK = EVENT_TYPES.index("click")
ARMS = '[{"name":"plain","share":0.5},{"name":"wide","share":0.5,"exploration":{"temperature":1.0,"new_items":0.2}}]'


def fill(
    engine: Engine, *, shoppers: int = 150, visits: int = 4, how: Exploration = HOW, variant: str = VARIANT
) -> None:
    """Lists of two items, their clicks, and the experiment that they belong to."""
    rng = np.random.default_rng(5)
    shown: list[ImpressionRow] = []
    clicked: list[InteractionRow] = []
    for shopper in range(shoppers):
        for visit in range(visits):
            request, time = f"{variant}-{shopper}-{visit}", NOON + visit * 1000 + shopper
            drawn = draw(SCORES, len(FRESH), how, count=2, seed=seed_of(request))
            for position, (choice, chance) in enumerate(zip(drawn.choices, drawn.propensities, strict=True)):
                item = (LISTED + FRESH)[choice]
                source = "batch" if choice < len(LISTED) else NEW
                user = f"u{shopper}"
                shown.append(
                    ImpressionRow(request, position, user, item, "home", time, "m1", variant, 1.0, chance, source)
                )
                if rng.random() < RATES[item]:
                    click = EVENT_TYPES.index("click")
                    clicked.append(
                        InteractionRow(f"c-{request}-{item}", click, user, item, time + 1, request_id=request)
                    )
    with write(engine) as connection:
        insert_impressions(connection, shown)
        ingest_interactions(connection, clicked, now=NOON)
        attribute_now(connection)


def record_experiment(engine: Engine) -> None:
    row = {"name": "try", "salt": "s", "arms": ARMS, "status": "running", "who": "me", "why": "", "started_at": NOON}
    with write(engine) as connection:
        connection.execute(insert(experiments).values(**row))
