"""Hold: while tracking is broken, nothing is asked and nothing is judged, and its hours are no evidence afterwards.

Arrives: the alarms of tracking outages. Leaves: whether one lasts, and the spans that do not count. Next: `fall`,
`monitoring.run` and `monitoring.probation`.
"""

from sqlalchemy import Connection

from graphstore.tables import HOUR_MS
from monitoring.alarms.conditions import TRACKING_OUTAGE
from monitoring.alarms.lasting import lasting, list_alarms
from monitoring.windows import TimeWindow


def held(connection: Connection) -> bool:
    """Return whether a tracking outage lasts."""
    return TRACKING_OUTAGE in lasting(connection)


def left_out(connection: Connection, *, since: int, now: int) -> list[TimeWindow]:
    """Return the spans of tracking outages that end after `since`, oldest first, in whole hours.

    An outage begins and ends within an hour, so the hour before the first one that was found broken, and the hour in
    which the end was found, do not count either.
    """
    spans: list[TimeWindow] = []
    for alarm in list_alarms(connection, TRACKING_OUTAGE, since=since):
        begun = int(alarm.figures.get("since", alarm.started_at))
        ended = now if alarm.ended_at is None else alarm.ended_at
        spans.append(TimeWindow((begun // HOUR_MS - 1) * HOUR_MS, (ended // HOUR_MS + 1) * HOUR_MS))
    return spans
