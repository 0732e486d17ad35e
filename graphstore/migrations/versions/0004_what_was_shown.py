"""what was shown and sold: confirmed and seen lists, orders, what must be counted again, alarms"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def added() -> dict[str, list[sa.Column[object]]]:
    """The new columns of tables that exist, made anew at each call: a column object belongs to one table."""
    return {
        "interactions": [
            sa.Column("order_id", sa.String(length=128), nullable=True),
            sa.Column("currency", sa.String(length=3), nullable=True),
        ],
        "impressions": [
            sa.Column("confirmed", sa.Boolean(), server_default=sa.true(), nullable=False),
            sa.Column("robot", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("client", sa.String(length=32), server_default="", nullable=False),
        ],
        "attributions": [
            sa.Column("list_time", sa.BigInteger(), nullable=True),
            sa.Column("matched_by", sa.String(length=16), server_default="request", nullable=False),
            sa.Column("order_id", sa.String(length=128), nullable=True),
            sa.Column("revenue", sa.Float(), nullable=True),
            sa.Column("currency", sa.String(length=3), nullable=True),
        ],
    }


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "seen_items",
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "position", name=op.f("pk_seen_items")),
    )
    op.create_index(op.f("ix_seen_items_user_id"), "seen_items", ["user_id"])
    op.create_index(op.f("ix_seen_items_event_time"), "seen_items", ["event_time"])
    op.create_table(
        "dirty_shoppers",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_dirty_shoppers")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dirty_windows",
        sa.Column("window_start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("window_end", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("window_start", "window_end", name=op.f("pk_dirty_windows")),
    )
    op.create_table(
        "alarms",
        sa.Column("alarm_key", KEY, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("figures", sa.Text(), server_default="{}", nullable=False),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("alarm_key", name=op.f("pk_alarms")),
    )
    lasting = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_alarms_lasting", "alarms", ["name"], unique=True, sqlite_where=lasting, postgresql_where=lasting
    )
    op.drop_index("ix_interactions_ingest_time_requested", "interactions")
    op.drop_index("ix_impressions_user_id", "impressions")
    op.create_index(op.f("ix_impressions_user_id_event_time"), "impressions", ["user_id", "event_time"])
    op.create_index(op.f("ix_metric_windows_metric_window_start"), "metric_windows", ["metric", "window_start"])
    # Views and ratings are not credited any more. The rest is done again by the monitor's first passes: the shoppers
    # of all lists, and those whose event was credited to another shopper's list.
    op.execute("DELETE FROM attributions WHERE event_type IN (0, 4)")
    op.execute(
        """
        INSERT INTO dirty_shoppers (user_id, since)
        SELECT user_id, MIN(event_time) FROM (
            SELECT user_id, MIN(event_time) AS event_time FROM impressions GROUP BY user_id
            UNION ALL
            SELECT u.user_id, a.event_time FROM attributions a
            JOIN interactions i ON i.event_id = a.event_id JOIN users u ON u.user_key = i.user_key
        ) AS known GROUP BY user_id
        """
    )
    op.execute(
        """
        INSERT INTO dirty_windows (window_start, window_end)
        SELECT DISTINCT event_time / 3600000 * 3600000, event_time / 3600000 * 3600000 + 3600000 FROM impressions
        """
    )


def downgrade() -> None:
    op.drop_index("ix_metric_windows_metric_window_start", "metric_windows")
    op.drop_index("ix_impressions_user_id_event_time", "impressions")
    op.create_index(op.f("ix_impressions_user_id"), "impressions", ["user_id"])
    requested = sa.text("request_id IS NOT NULL")
    op.create_index(
        "ix_interactions_ingest_time_requested",
        "interactions",
        ["ingest_time"],
        sqlite_where=requested,
        postgresql_where=requested,
    )
    for table in ("alarms", "dirty_windows", "dirty_shoppers", "seen_items"):
        op.drop_table(table)
    for table, columns in added().items():
        for column in columns:  # in place: a batch would rename the table under the view `list_origins`
            op.drop_column(table, column.name)
