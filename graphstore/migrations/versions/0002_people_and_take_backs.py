"""people (attributes, sessions that log in), returns and cancellations, the state of the store, what erasures need"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TAKE_BACKS = ("returns", "cancels")


def upgrade() -> None:
    op.add_column("users", sa.Column("person_key", KEY, nullable=True))
    op.add_column("users", sa.Column("attributes", sa.Text(), server_default="{}", nullable=False))
    op.add_column("users", sa.Column("updated_at", sa.BigInteger(), server_default="0", nullable=False))
    given = sa.text("person_key IS NOT NULL")
    op.create_index("ix_users_person_key", "users", ["person_key"], sqlite_where=given, postgresql_where=given)
    for table in ("edges", "item_buckets"):
        for column in TAKE_BACKS:
            op.add_column(table, sa.Column(column, sa.Integer(), server_default="0", nullable=False))
    _make_again(upgraded=True)
    op.create_index(op.f("ix_impressions_user_id"), "impressions", ["user_id"])
    requested = sa.text("request_id IS NOT NULL")
    op.create_index(
        "ix_interactions_ingest_time_requested",
        "interactions",
        ["ingest_time"],
        sqlite_where=requested,
        postgresql_where=requested,
    )
    op.create_table(
        "identities",
        sa.Column("anonymous_id", sa.String(length=128), nullable=False),
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("anonymous_id", name=op.f("pk_identities")),
    )
    op.create_index(op.f("ix_identities_user_id"), "identities", ["user_id"])
    op.create_table(
        "stale_people",
        sa.Column("user_id", sa.String(length=128), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_stale_people")),
    )
    op.create_table(
        "store_state",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_store_state")),
    )


def downgrade() -> None:
    op.drop_table("store_state")
    op.drop_table("stale_people")
    op.drop_table("identities")
    op.drop_index("ix_interactions_ingest_time_requested", "interactions")
    op.drop_index(op.f("ix_impressions_user_id"), "impressions")
    for table in ("edges", "item_buckets"):
        with op.batch_alter_table(table) as batch:
            for column in TAKE_BACKS:
                batch.drop_column(column)
    op.drop_index("ix_users_person_key", "users")
    with op.batch_alter_table("users") as batch:
        for column in ("updated_at", "attributes", "person_key"):
            batch.drop_column(column)
    _make_again(upgraded=False)


def _make_again(*, upgraded: bool) -> None:
    """What SQLite only takes when a table is made.

    Keys of erased newest rows are not given out again (AUTOINCREMENT); what is found by its whole key is one tree
    instead of a table and an index (WITHOUT ROWID).
    """
    if op.get_context().dialect.name != "sqlite":
        return
    for table, settings in (
        ("users", {"sqlite_autoincrement": upgraded}),
        ("interactions", {"sqlite_autoincrement": upgraded}),
        ("edges", {"sqlite_with_rowid": not upgraded}),
        ("item_buckets", {"sqlite_with_rowid": not upgraded}),
    ):
        with op.batch_alter_table(table, recreate="always", table_kwargs=settings):
            pass
