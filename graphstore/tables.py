"""The tables of the graph. Every time is epoch milliseconds in UTC, the same integer on SQLite and PostgreSQL.

Users and items have a stable integer key beside the shop's own id. Integer keys keep edges, packed lists and tensors
small. Counts are integers; times are minima and maxima. So the order, the batching or the repetition of events never
changes a row. Weights are computed when the graph is read (`graphstore.snapshots.graph`) and never stored: stored
floats would depend on the order.

Rows of `interactions` and `edges` never change their user: they keep the key of the id that the shop sent. Only
`users.person_key` says to which person an anonymous session belongs. Readers of a person read all its keys.

The keys of users and interactions are never used twice, also after an erasure of the newest row, because snapshots
store them. PostgreSQL's sequences guarantee this; SQLite needs `AUTOINCREMENT`.

There are no foreign keys: `graphstore.ingest` joins each key from its row in the same transaction. A second check
would cost a tenth of the hot path.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    false,
    true,
)

EVENT_TYPES = ("view", "click", "cart", "purchase", "rating", "return", "cancel")
"""`interactions.event_type` is an index into this tuple, which has the order of `stream.events.EventType`."""

TAKE_BACKS = ("return", "cancel")
"""Events that take a purchase back. They have no weight of their own, see `graphstore.takebacks`."""

EVENT_WEIGHTS: dict[str, float] = {"view": 1.0, "click": 1.0, "cart": 2.0, "purchase": 4.0, "rating": 4.0}
EVENT_WEIGHTS |= dict.fromkeys(TAKE_BACKS, 0.0)
"""The weight of one event of each type, applied when the graph is read."""

COUNT_COLUMNS = tuple(f"{event_type}s" for event_type in EVENT_TYPES)
"""The count column of each event type in `edges` and `item_buckets`."""

HOUR_MS = 3_600_000
"""An hour of the clock in milliseconds: counters and figures are kept by hour, figures by UTC day, too."""
DAY_MS = 24 * HOUR_MS

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives a rowid, hence a 64-bit key without a second index, only to INTEGER PRIMARY KEY.
Key = BigInteger().with_variant(Integer(), "sqlite")
EpochMs = BigInteger
ID_LENGTH = 128


def _counts() -> list[Column[int]]:
    return [Column(name, Integer, nullable=False, server_default="0") for name in COUNT_COLUMNS]


users = Table(
    "users",
    metadata,
    Column("user_key", Key, primary_key=True),
    Column("user_id", String(ID_LENGTH), nullable=False, unique=True),
    Column("person_key", Key),  # the person of an anonymous session; null: no other user
    Column("attributes", Text, nullable=False, server_default="{}"),  # a JSON object
    Column("updated_at", EpochMs, nullable=False, server_default="0"),  # event_time of the newest attributes
    sqlite_autoincrement=True,
)

# Finds the sessions of a person. Partial, because most users are not a session of another user.
Index(
    "ix_users_person_key",
    users.c.person_key,
    sqlite_where=users.c.person_key.is_not(None),
    postgresql_where=users.c.person_key.is_not(None),
)

identities = Table(
    "identities",
    metadata,
    Column("anonymous_id", String(ID_LENGTH), primary_key=True),
    Column("user_id", String(ID_LENGTH), nullable=False),
    Column("event_time", EpochMs, nullable=False),  # the session's earliest login
    Index(None, "user_id"),
)

items = Table(
    "items",
    metadata,
    Column("item_key", Key, primary_key=True),
    Column("item_id", String(ID_LENGTH), nullable=False, unique=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("categories", Text, nullable=False, server_default="[]"),  # a JSON array of strings
    Column("brand", Text, nullable=False, server_default=""),
    Column("price", Float),
    Column("available", Boolean, nullable=False, server_default="1"),  # as the shop said it, see `for_sale`
    Column("updated_at", EpochMs, nullable=False, server_default="0"),  # event_time of the newest entry or change
    Column("attributes", Text, nullable=False, server_default="{}"),  # a JSON object
    Column("url", Text, nullable=False, server_default=""),
    Column("image_url", Text, nullable=False, server_default=""),
    Column("stock", Integer),  # null: not counted
    Column("product_id", String(ID_LENGTH)),  # variants of one product have the same one
    Column("field_times", Text, nullable=False, server_default="{}"),  # a JSON object, see `graphstore.item_fields`
)

for_sale = items.c.available & (items.c.stock.is_(None) | (items.c.stock > 0))
"""Whether an item can be bought now."""

interactions = Table(
    "interactions",
    metadata,
    Column("interaction_key", Key, primary_key=True),  # the order of ingestion
    Column("event_id", String(ID_LENGTH), nullable=False, unique=True),
    Column("event_type", SmallInteger, nullable=False),  # index into EVENT_TYPES
    Column("user_key", Key, nullable=False),
    Column("item_key", Key, nullable=False),
    Column("event_time", EpochMs, nullable=False),
    Column("ingest_time", EpochMs, nullable=False),
    Column("value", Float),
    Column("quantity", Float),  # pieces, or a weight
    Column("request_id", String(ID_LENGTH)),
    Column("position", Integer),
    Column("order_id", String(ID_LENGTH)),
    Column("currency", String(3)),
    Index(None, "user_key", "event_time"),
    Index(None, "event_time"),
    sqlite_autoincrement=True,
)

edges = Table(
    "edges",
    metadata,
    Column("user_key", Key, primary_key=True, autoincrement=False),
    Column("item_key", Key, primary_key=True, autoincrement=False),
    *_counts(),
    Column("first_time", EpochMs, nullable=False),
    Column("last_time", EpochMs, nullable=False),
    sqlite_with_rowid=False,  # SQLite then writes one tree instead of a table and its index
)

item_buckets = Table(
    "item_buckets",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # event_time // HOUR_MS
    Column("item_key", Key, primary_key=True, autoincrement=False),
    *_counts(),
    sqlite_with_rowid=False,
)

impressions = Table(
    "impressions",
    metadata,
    Column("request_id", String(ID_LENGTH), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("user_id", String(ID_LENGTH), nullable=False),
    Column("item_id", String(ID_LENGTH), nullable=False),
    Column("slot", String(ID_LENGTH), nullable=False),
    Column("event_time", EpochMs, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("variant", Text, nullable=False),
    Column("score", Float, nullable=False),
    Column("propensity", Float, nullable=False),
    Column("source", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False, server_default=true()),  # the reader vouches that the list is shown
    Column("robot", Boolean, nullable=False, server_default=false()),  # by its user agent
    Column("client", String(32), nullable=False, server_default=""),  # keyed hash of the reader's address
    Index(None, "user_id", "event_time"),
    Index(None, "event_time"),
)
"""Served lists. A list that is not `confirmed` was merely fetched: its items count as shown once they are seen."""

seen_items = Table(
    "seen_items",
    metadata,
    Column("request_id", String(ID_LENGTH), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("user_id", String(ID_LENGTH), nullable=False),
    Column("event_time", EpochMs, nullable=False),  # when it was seen first
    Index(None, "user_id"),
    Index(None, "event_time"),
)
"""The positions of a served list that a shopper has truly seen, as the shop's page confirmed."""

attributions = Table(
    "attributions",
    metadata,
    Column("event_id", String(ID_LENGTH), primary_key=True),
    Column("request_id", String(ID_LENGTH), nullable=False),
    Column("position", Integer, nullable=False),
    Column("event_type", SmallInteger, nullable=False),
    Column("event_time", EpochMs, nullable=False),
    Column("list_time", EpochMs),  # when the list was served; null: attributed before this was kept
    Column("matched_by", String(16), nullable=False, server_default="request"),  # request, item
    Column("order_id", String(ID_LENGTH)),
    Column("revenue", Float),  # the whole line: price times quantity; negative for what a refund takes back
    Column("currency", String(3)),
    Index(None, "request_id", "position"),
)

dirty_shoppers = Table(
    "dirty_shoppers",
    metadata,
    Column("user_id", String(ID_LENGTH), primary_key=True),
    Column("since", EpochMs, nullable=False),  # the earliest event time that changed
    Column("generation", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
"""Shoppers whose attributions must be computed again, because an event, a list, a login or a delete arrived.

Each marking has another `generation`, see `graphstore.dirty`."""

dirty_windows = Table(
    "dirty_windows",
    metadata,
    Column("window_start", EpochMs, primary_key=True, autoincrement=False),
    Column("window_end", EpochMs, primary_key=True, autoincrement=False),
    Column("generation", BigInteger, nullable=False, server_default="0"),
)
"""Clock hours and UTC days whose figures must be counted again, see `graphstore.dirty`."""

stream_progress = Table(
    "stream_progress",
    metadata,
    Column("topic", String(ID_LENGTH), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("updated_at", EpochMs, nullable=False),
)

stale_people = Table(
    "stale_people",
    metadata,
    Column("user_id", String(ID_LENGTH), primary_key=True),
    Column("generation", BigInteger, nullable=False),
)
"""Users whose Redis keys must be rebuilt after a login. The row stays until that is done, because no other table knows
to which person a session belonged before. `generation` is the `PEOPLE_GENERATION` of the last such login."""

store_state = Table(
    "store_state",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""Single numbers: the horizons of the last deletes, and the number of changes of identity."""

COMPACTION_HORIZON = "compaction_horizon"
"""Epoch ms. Older interactions were compacted, so the store cannot recognise the duplicate of an older event."""

LISTS_HORIZON = "lists_horizon"
"""Epoch ms. Retention deletes older served lists: their attributions and figures stay as they were."""

CLICK_WINDOW = "click_window"
CONVERSION_WINDOW = "conversion_window"
"""Milliseconds. The windows that the stored attributions were computed with."""

PEOPLE_GENERATION = "people_generation"
"""A counter that each login and each erasure raises. A writer to Redis that sees it change reads SQL again."""

NOTED_KEY = "noted_key"
"""The newest `interaction_key` when no writer ran. A replica that shows it shows every row up to it."""

NOTED_TIME = "noted_time"
"""Epoch ms, when that was."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("snapshot_id", String(ID_LENGTH), primary_key=True),
    Column("as_of", EpochMs, nullable=False),
    Column("last_interaction_key", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("created_at", EpochMs, nullable=False),
    Column("users", Integer, nullable=False),
    Column("items", Integer, nullable=False),
    Column("interactions", Integer, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("model_version", String(ID_LENGTH), primary_key=True),
    Column("kind", String(32), nullable=False),  # closed_form, graphsage, incremental
    Column("status", String(32), nullable=False),  # candidate, champion, kept, retired
    Column("parent_version", String(ID_LENGTH)),
    Column("snapshot_id", String(ID_LENGTH), nullable=False),
    Column("bundle", Text, nullable=False),  # its directory
    Column("metrics", Text, nullable=False, server_default="{}"),  # JSON
    Column("gate", Text, nullable=False, server_default="{}"),  # JSON: verdict, reasons
    Column("seconds", Float, nullable=False, server_default="0"),
    Column("created_at", EpochMs, nullable=False),
    Column("promoted_at", EpochMs),
    Column("anchor_version", String(ID_LENGTH)),  # the last full model of its lineage; null: the model is one itself
    Column("settings_hash", String(64)),  # of the settings it was trained with; null: made before they were kept
    Column("code_version", String(64)),  # of Sagestream
    Column("banned_at", EpochMs),  # it did harm: no run and no rollback promotes it again
    Column("pruned_at", EpochMs),  # its bundle was deleted
)

# At most one champion, also when two schedulers promote at the same time.
Index(
    "uq_models_champion",
    models.c.status,
    unique=True,
    sqlite_where=models.c.status == "champion",
    postgresql_where=models.c.status == "champion",
)

training_runs = Table(
    "training_runs",
    metadata,
    Column("run_id", String(ID_LENGTH), primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("trigger", Text, nullable=False),
    Column("status", String(32), nullable=False),  # running, promoted, kept, failed
    Column("snapshot_id", String(ID_LENGTH)),
    Column("model_version", String(ID_LENGTH)),
    Column("started_at", EpochMs, nullable=False),
    Column("finished_at", EpochMs),
    Column("error", Text),
    Column("heartbeat_at", EpochMs),  # of the process that trains; null: made before runs had one
    Column("owner", String(ID_LENGTH)),  # which process that is
)

retrain_requests = Table(
    "retrain_requests",
    metadata,
    Column("request_key", Key, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("requested_by", String(64), nullable=False),
    Column("requested_at", EpochMs, nullable=False),
    Column("run_id", String(ID_LENGTH)),  # the run that answers it; null while it waits
    Column("full", Boolean, nullable=False, server_default=false()),  # asks for a training from scratch
    Column("figures", Text, nullable=False, server_default="{}"),  # JSON: what was measured
    Column("status", String(32), nullable=False, server_default="waiting"),  # waiting, running, answered, dropped
    Column("outcome", Text),  # in words, once it has ended
    Column("finished_at", EpochMs),
)

promotions = Table(
    "promotions",
    metadata,
    Column("promotion_key", Key, primary_key=True),
    Column("at", EpochMs, nullable=False),
    Column("action", String(32), nullable=False),  # promote, rollback
    Column("to_version", String(ID_LENGTH), nullable=False),
    Column("from_version", String(ID_LENGTH)),  # null: there was no champion
    Column("who", String(ID_LENGTH), nullable=False),
    Column("why", Text, nullable=False),
    Column("probation_share", Float, nullable=False, server_default="0"),  # of the shoppers who keep `from_version`
    Column("probation_until", EpochMs),  # the latest end; null: no probation
    Column("ended_at", EpochMs),  # of the probation
    Column("outcome", String(32)),  # passed, harm, expired, superseded; null: it runs, or there is none
    Column("detail", Text, nullable=False, server_default="{}"),  # JSON: what the probation has measured
)
"""Every change of the champion, by a run, a person or a probation. The newest row's `to_version` is the champion."""

experiments = Table(
    "experiments",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("slot", String(ID_LENGTH)),  # null: all slots
    Column("salt", String(64), nullable=False),  # decides who is in which arm
    Column("arms", Text, nullable=False),  # JSON: name, share, model version or null, exploration
    Column("status", String(32), nullable=False),  # running, stopped
    Column("who", String(ID_LENGTH), nullable=False),
    Column("why", Text, nullable=False),
    Column("started_at", EpochMs, nullable=False),
    Column("stopped_at", EpochMs),
    Column("outcome", Text, nullable=False, server_default="{}"),  # JSON: the last report
)

metric_windows = Table(
    "metric_windows",
    metadata,
    Column("metric", String(64), primary_key=True),
    Column("segment", String(ID_LENGTH), primary_key=True),  # all, or model:…, slot:…, variant:…
    Column("window_start", EpochMs, primary_key=True, autoincrement=False),
    Column("window_end", EpochMs, primary_key=True, autoincrement=False),
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("detail", Text, nullable=False, server_default="{}"),  # JSON: counts, verdicts, the report's path
    Index(None, "metric", "window_start"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("alarm_key", Key, primary_key=True),
    Column("name", String(64), nullable=False),  # what is wrong, for example tracking_outage
    Column("started_at", EpochMs, nullable=False),
    Column("ended_at", EpochMs),  # null: it lasts
    Column("text", Text, nullable=False),
    Column("figures", Text, nullable=False, server_default="{}"),  # JSON: what was measured
    Column("delivered_at", EpochMs),  # to the webhook; null: not yet, or there is none
    Column("attempts", Integer, nullable=False, server_default="0"),
)
"""What the monitor found wrong in the shop's data. At most one alarm of a name lasts."""

Index(
    "uq_alarms_lasting",
    alarms.c.name,
    unique=True,
    sqlite_where=alarms.c.ended_at.is_(None),
    postgresql_where=alarms.c.ended_at.is_(None),
)

erasures = Table(
    "erasures",
    metadata,
    Column("user_id", String(ID_LENGTH), primary_key=True),
    Column("requested_at", EpochMs, nullable=False),
    Column("completed_at", EpochMs),
    Column("receipt", Text, nullable=False, server_default="{}"),  # JSON
)
