"""Shopper sums: what the shoppers of one variant were shown, clicked and bought, as sums over shoppers.

Arrives: `impressions` and `attributions`. Leaves: sums for two rates: items with a click (as `ctr` counts clicks) and
items with a purchase, for each shown item. Next: `probation` and `experiments` compare the sums of two variants,
clustered by shopper, because one shopper's clicks are alike.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from graphstore.tables import EVENT_TYPES
from monitoring.ctr import CLICK_TYPES
from training.evaluation.sequential import ClusterSums

CTR = "ctr"
CONVERSION = "conversion"

_SUMS = f"""
WITH shown AS (
    SELECT m.user_id, COUNT(*) AS items,
           SUM(CASE WHEN EXISTS (
               SELECT 1 FROM attributions a WHERE a.request_id = m.request_id AND a.position = m.position
                 AND a.event_type IN ({", ".join(map(str, CLICK_TYPES))})) THEN 1 ELSE 0 END) AS clicks,
           SUM(CASE WHEN EXISTS (
               SELECT 1 FROM attributions a WHERE a.request_id = m.request_id AND a.position = m.position
                 AND a.event_type = {EVENT_TYPES.index("purchase")}) THEN 1 ELSE 0 END) AS purchases
    FROM impressions m
    WHERE m.event_time >= :start AND m.event_time < :end AND m.variant = :variant
      AND (CAST(:model AS TEXT) IS NULL OR m.model_version = :model)
    GROUP BY m.user_id
)
SELECT COUNT(*) AS shoppers, SUM(items) AS items, SUM(items * items) AS items_squared,
       SUM(clicks) AS clicks, SUM(clicks * clicks) AS clicks_squared, SUM(clicks * items) AS clicks_items,
       SUM(purchases) AS purchases, SUM(purchases * purchases) AS purchases_squared,
       SUM(purchases * items) AS purchases_items
FROM shown
"""


@dataclass(frozen=True)
class ShopperSums:
    """The sums of one variant, for each rate."""

    ctr: ClusterSums
    conversion: ClusterSums

    def of(self, rate: str) -> ClusterSums:
        """Return the sums of `ctr` or `conversion`."""
        return {CTR: self.ctr, CONVERSION: self.conversion}[rate]


def shopper_sums(
    connection: Connection, *, variant: str, model_version: str | None, start: int, end: int
) -> ShopperSums:
    """Return the sums of the lists that a variant showed in start <= t < end (epoch ms); model None: all models."""
    values = {"variant": variant, "model": model_version, "start": start, "end": end}
    row = connection.execute(text(_SUMS), values).one()
    if not row.shoppers:
        return ShopperSums(ClusterSums(), ClusterSums())
    both = (
        ClusterSums(
            int(row.shoppers),
            float(getattr(row, counted)),
            float(row.items),
            float(getattr(row, f"{counted}_squared")),
            float(row.items_squared),
            float(getattr(row, f"{counted}_items")),
        )
        for counted in ("clicks", "purchases")
    )
    return ShopperSums(*both)
