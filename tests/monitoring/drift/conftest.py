"""Five weeks of a shop in which nothing changes, written straight into the tables, and changes of its last day."""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, delete, insert, update

from graphstore.session import write
from graphstore.tables import EVENT_TYPES, attributions, impressions, interactions, items
from monitoring.drift.references import Comparison, comparison

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
END = 20_000 * DAY_MS
"""The end of the newest day (epoch ms)."""
DAYS = 45
SHOPPERS = 260
"""A day."""
CLICK, PURCHASE = EVENT_TYPES.index("click"), EVENT_TYPES.index("purchase")


@dataclass
class Weeks:
    """A shop whose newest event is at `END` - 1."""

    engine: Engine
    end: int = END
    rows: list[dict[str, Any]] = field(default_factory=list)

    def trade(self, days: int = DAYS, *, shoppers: int = SHOPPERS, seed: int = 0) -> None:
        """Each shopper of a day views, clicks or buys some of 60 items, popular ones more often, and sees one list."""
        rng = np.random.default_rng(seed)
        catalogue = [
            {"item_key": key, "item_id": f"i{key}", "categories": json.dumps([f"shelf {key % 5}"])}
            for key in range(1, 61)
        ]
        shown, clicks = [], []
        for day in range(days):
            start = self.end - (day + 1) * DAY_MS
            for number in range(shoppers):
                user = int(rng.integers(1, 4 * shoppers))
                time = start + int(rng.integers(0, DAY_MS - HOUR_MS))
                for act in range(int(rng.integers(2, 6))):
                    self.rows.append(self._event(rng, f"e{day}-{number}-{act}", user, time + act * 60_000))
                name = f"r{day}-{number}"
                shown.append(self._list(name, user, time))
                if rng.random() < 0.3:
                    clicks.append(self._click(name, time + 1000))
        self.rows.append({**self.rows[-1], "event_id": "last", "event_time": self.end - 1})
        with write(self.engine) as connection:
            connection.execute(insert(items), catalogue)
            connection.execute(insert(interactions), self.rows)
            connection.execute(insert(impressions), shown)
            connection.execute(insert(attributions), clicks)

    def change_last_day(self, **values: Any) -> None:
        """Set columns of the newest day's events."""
        with write(self.engine) as connection:
            newest = interactions.c.event_time >= self.end - DAY_MS
            connection.execute(update(interactions).where(newest).values(**values))

    def forget_clicks_of_last_day(self) -> None:
        """No list of the newest day is clicked."""
        with write(self.engine) as connection:
            connection.execute(delete(attributions).where(attributions.c.event_time >= self.end - DAY_MS))

    def windows(self, *, trained_at: int | None = None) -> Comparison:
        """The comparison of the newest day."""
        return comparison(self.end, 86_400, 28 * 86_400, trained_at=trained_at)

    @staticmethod
    def _event(rng: np.random.Generator, name: str, user: int, time: int) -> dict[str, Any]:
        key = int(min(rng.geometric(0.06), 60))
        kind = int(rng.choice([0, CLICK, PURCHASE], p=[0.4, 0.2, 0.4]))
        return {
            "event_id": name,
            "event_type": kind,
            "user_key": user,
            "item_key": key,
            "event_time": time,
            "ingest_time": time,
            "value": 5.0 + key if kind == PURCHASE else None,
        }

    @staticmethod
    def _list(name: str, user: int, time: int) -> dict[str, Any]:
        labels = {"slot": "home", "model_version": "m1", "variant": "a", "source": "model"}
        return {
            "request_id": name,
            "position": 0,
            "user_id": f"u{user}",
            "item_id": "i1",
            "event_time": time,
            "score": 1.0,
            "propensity": 1.0,
            **labels,
        }

    @staticmethod
    def _click(name: str, time: int) -> dict[str, Any]:
        places = {"request_id": name, "position": 0, "list_time": time - 1000, "matched_by": "request"}
        return {"event_id": f"c-{name}", "event_type": CLICK, "event_time": time, **places}


@pytest.fixture
def weeks(sqlite_engine: Engine) -> Weeks:
    return Weeks(sqlite_engine)
