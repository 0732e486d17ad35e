"""Routing source: composes the routing from SQL, that is from the running probation and the running experiments.

Arrives: rows of `models`, `promotions` and `experiments`. Leaves: the champion with the routing that shall be served.
Next: `serving.publisher` and `serving.switch` write both to Redis.

The probation is the first split, so it decides before any experiment: it protects the shop, and an experiment on all
shoppers would leave it nobody. An experiment then loses the same small share of each of its arms, because the salts of
two splits are independent. A shopper in the probation has the variant `previous` and counts for no experiment.
"""

from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from graphstore.tables import experiments, models, promotions
from serving import routing
from serving.routing import NO_SPLITS, Arm, Routing, Split

RUNNING = "running"

_read_arms = msgspec.json.Decoder(tuple[Arm, ...]).decode


@dataclass(frozen=True)
class Wanted:
    """What the registry wants to be served."""

    champion: str
    routing: Routing = NO_SPLITS
    problems: tuple[str, ...] = ()
    """Why an experiment is left out, one sentence each."""

    @property
    def versions(self) -> list[str]:
        """Return the models whose lists must be there and stay fresh: the champion first, then the others by name."""
        return [self.champion, *sorted(self.routing.versions() - {self.champion})]


def wanted(connection: Connection, *, now: int) -> Wanted | None:
    """Return the champion and the running splits, or None before the first champion. `now` is epoch ms.

    An experiment that cannot run is left out and told in `problems`: its arms are malformed, or its model is unknown,
    pruned or banned.
    """
    champion = connection.scalar(select(models.c.model_version).where(models.c.status == "champion"))
    if champion is None:
        return None
    unusable = models.c.pruned_at.is_not(None) | models.c.banned_at.is_not(None)
    usable = set(connection.scalars(select(models.c.model_version).where(~unusable))) | {champion}
    splits = _probation(connection, champion, usable, now=now)
    problems = []
    running = select(experiments).where(experiments.c.status == RUNNING)
    for row in connection.execute(running.order_by(experiments.c.started_at, experiments.c.name)):
        try:
            split = Split(row.name, row.salt, _read_arms(row.arms), slot=row.slot)
            routing.check([*splits, split])
            for version in sorted(Routing((split,)).versions() - usable):
                raise ValueError(f"model {version} cannot serve: it is unknown, banned or pruned")
        except ValueError as error:  # msgspec's errors are ValueErrors
            problems.append(f"experiment {row.name}: {error}")
        else:
            splits.append(split)
    return Wanted(champion, Routing(tuple(splits), champion), tuple(problems))


def _probation(connection: Connection, champion: str, usable: set[str], *, now: int) -> list[Split]:
    """Return the split of the running probation. One whose time is over has ended, also if nobody recorded it."""
    query = (
        select(promotions)
        .where(promotions.c.ended_at.is_(None), promotions.c.probation_until > now, promotions.c.probation_share > 0)
        .order_by(promotions.c.promotion_key.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.to_version != champion or row.from_version not in usable:
        return []
    return [routing.probation(row.from_version, row.probation_share, salt=f"probation {row.promotion_key}")]
