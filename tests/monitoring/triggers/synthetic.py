"""Hours of made-up shops whose rate is known."""

import json
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, insert

from graphstore.tables import HOUR_MS, metric_windows
from monitoring.triggers.hours import Hour

MONDAY = 1_699_833_600_000
"""A Monday, 00:00 UTC, epoch ms."""


def cycle_hours(
    days: int, *, rate: float = 0.05, each: float = 5_000, falls: dict[int, float] | None = None
) -> list[Hour]:
    """Hours without chance: a day-night cycle of ±20 % of the rate, 20 impressions a shopper, clicks a bit alike.

    `falls` says from which hour on the rate is multiplied by what.
    """
    hours, level = [], 1.0
    for number in range(days * 24):
        level = (falls or {}).get(number, level)
        clicks = each * rate * level * (1 + 0.2 * np.sin(2 * np.pi * number / 24))
        # What n shoppers with the variance of independent clicks, twice, would leave.
        squares, products = 20 * each, 20 * clicks
        click_squares = 2 * clicks + clicks * products / max(each, 1.0)
        hours.append(
            Hour(MONDAY + number * HOUR_MS, each, float(clicks), squares, float(click_squares), float(products))
        )
    return hours


def store(
    connection: Connection, hours: Sequence[Hour], *, segment: str = "all", confirmed: float | None = None
) -> None:
    """Store them as the monitor does. A list has ten impressions."""
    rows = []
    for hour in hours:
        lists = hour.impressions / 10
        proved = lists if confirmed is None else confirmed
        detail: dict[str, object] = {
            "impressions": hour.impressions,
            "clicks": hour.clicks,
            "lists": lists,
            "fetched": 0,
        }
        detail |= {"shown_by_event": lists - proved}
        detail["cluster"] = {"n": 1, "xx": hour.squares, "yy": hour.click_squares, "xy": hour.products}
        rows.append(
            {
                "metric": "ctr",
                "segment": segment,
                "window_start": hour.start,
                "window_end": hour.end,
                "detail": json.dumps(detail),
            }
        )
    connection.execute(insert(metric_windows), rows)
