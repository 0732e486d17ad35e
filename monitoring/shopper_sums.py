"""Shopper sums: what the shoppers of a variant were shown, clicked and bought, as sums over shoppers.

Arrives: `impressions` and `attributions`. Leaves: sums for two rates: items with a click (as `ctr` counts clicks) and
items with a purchase, for each shown item. Next: `probation` and `experiments` compare the sums of two variants,
clustered by shopper, because one shopper's clicks are similar.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, text

from graphstore.tables import EVENT_TYPES
from monitoring.ctr import CLICK_TYPES
from training.evaluation.sequential import ClusterSums

CTR = "ctr"
CONVERSION = "conversion"
RATES = (CTR, CONVERSION)

_COUNTED = {CTR: "clicks", CONVERSION: "purchases"}
_SUMS = f"""
WITH shown AS (
    SELECT m.variant, m.user_id, COUNT(*) AS items,
           SUM(CASE WHEN EXISTS (
               SELECT 1 FROM attributions a WHERE a.request_id = m.request_id AND a.position = m.position
                 AND a.event_type IN ({", ".join(map(str, CLICK_TYPES))})) THEN 1 ELSE 0 END) AS clicks,
           SUM(CASE WHEN EXISTS (
               SELECT 1 FROM attributions a WHERE a.request_id = m.request_id AND a.position = m.position
                 AND a.event_type = {EVENT_TYPES.index("purchase")}) THEN 1 ELSE 0 END) AS purchases
    FROM impressions m
    WHERE m.variant IN :variants AND m.event_time >= :start AND m.event_time < :end %s
    GROUP BY m.variant, m.user_id
)
SELECT variant, COUNT(*) AS shoppers, SUM(items) AS items, SUM(items * items) AS items_squared,
       SUM(clicks) AS clicks, SUM(clicks * clicks) AS clicks_squared, SUM(clicks * items) AS clicks_items,
       SUM(purchases) AS purchases, SUM(purchases * purchases) AS purchases_squared,
       SUM(purchases * items) AS purchases_items
FROM shown GROUP BY variant
"""

Sums = dict[str, ClusterSums]
"""The sums of a variant by rate: ctr, conversion."""


def shopper_sums(
    connection: Connection, variants: Sequence[str], *, start: int, end: int, model_version: str | None = None
) -> dict[str, Sums]:
    """Return the sums of each variant's lists that were served in start <= t < end (epoch ms).

    With `model_version` only the lists of this model count: the variant `champion` has had other models before.
    """
    values = {"variants": list(variants), "start": start, "end": end}
    of_model = "" if model_version is None else "AND m.model_version = :model"
    query = text(_SUMS % of_model).bindparams(bindparam("variants", expanding=True))
    found = {variant: dict.fromkeys(RATES, ClusterSums()) for variant in variants}
    for row in connection.execute(query, values | ({} if model_version is None else {"model": model_version})):
        found[row.variant] = {
            name: ClusterSums(
                int(row.shoppers),
                float(getattr(row, counted)),
                float(row.items),
                float(getattr(row, f"{counted}_squared")),
                float(row.items_squared),
                float(getattr(row, f"{counted}_items")),
            )
            for name, counted in _COUNTED.items()
        }
    return found
