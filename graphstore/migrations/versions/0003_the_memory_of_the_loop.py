"""the loop remembers: promotions, experiments, the lineage of models, the life of runs and requests"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

LIST_ORIGINS = """
CREATE VIEW list_origins AS
SELECT shown.request_id, shown.user_id, shown.slot, shown.event_time, shown.items, shown.variant, shown.model_version,
       m.kind, m.parent_version, m.anchor_version, m.settings_hash, m.code_version, m.gate,
       m.snapshot_id, s.as_of AS snapshot_as_of,
       r.run_id, r."trigger", r.started_at AS run_started_at, r.finished_at AS run_finished_at,
       p.promotion_key, p.at AS promoted_at, p.action AS promotion_action,
       p.who AS promoted_by, p.why AS promoted_because, e.name AS experiment, e.why AS experiment_because
FROM (
    SELECT request_id, MIN(user_id) AS user_id, MIN(slot) AS slot, MIN(event_time) AS event_time, COUNT(*) AS items,
           MIN(variant) AS variant, MIN(model_version) AS model_version
    FROM impressions GROUP BY request_id
) AS shown
LEFT JOIN models m ON m.model_version = shown.model_version
LEFT JOIN snapshots s ON s.snapshot_id = m.snapshot_id
LEFT JOIN training_runs r ON r.model_version = m.model_version
LEFT JOIN promotions p ON p.promotion_key = (
    SELECT MAX(promotion_key) FROM promotions WHERE to_version = shown.model_version AND at <= shown.event_time
)
LEFT JOIN experiments e ON shown.variant LIKE e.name || '/%'
"""
"""One row for each list that was shown: its model, run, snapshot, verdict, the last promotion before it, experiment."""


def added() -> dict[str, list[sa.Column[object]]]:
    """The new columns of tables that exist, made anew at each call: a column object belongs to one table."""
    return {
        "models": [
            sa.Column("anchor_version", sa.String(length=128), nullable=True),
            sa.Column("settings_hash", sa.String(length=64), nullable=True),
            sa.Column("code_version", sa.String(length=64), nullable=True),
            sa.Column("banned_at", sa.BigInteger(), nullable=True),
            sa.Column("pruned_at", sa.BigInteger(), nullable=True),
        ],
        "training_runs": [
            sa.Column("heartbeat_at", sa.BigInteger(), nullable=True),
            sa.Column("owner", sa.String(length=128), nullable=True),
        ],
        "retrain_requests": [
            sa.Column("full", sa.Boolean(), server_default=sa.false(), nullable=False),
            sa.Column("figures", sa.Text(), server_default="{}", nullable=False),
            sa.Column("status", sa.String(length=32), server_default="waiting", nullable=False),
            sa.Column("outcome", sa.Text(), nullable=True),
            sa.Column("finished_at", sa.BigInteger(), nullable=True),
        ],
    }


def upgrade() -> None:
    for table, columns in added().items():
        for column in columns:
            op.add_column(table, column)
    op.execute(
        """
        UPDATE retrain_requests SET
            status = COALESCE(
                (SELECT CASE r.status WHEN 'running' THEN 'running' WHEN 'failed' THEN 'dropped' ELSE 'answered' END
                 FROM training_runs r WHERE r.run_id = retrain_requests.run_id),
                'waiting'
            ),
            finished_at = (SELECT r.finished_at FROM training_runs r WHERE r.run_id = retrain_requests.run_id)
        """
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_key", KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("to_version", sa.String(length=128), nullable=False),
        sa.Column("from_version", sa.String(length=128), nullable=True),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("probation_share", sa.Float(), server_default="0", nullable=False),
        sa.Column("probation_until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("promotion_key", name=op.f("pk_promotions")),
    )
    # Earlier promotions left only their time and the model. Who served before is the model promoted last before it.
    op.execute(
        """
        INSERT INTO promotions (at, action, to_version, from_version, who, why)
        SELECT m.promoted_at, 'promote', m.model_version,
               (SELECT p.model_version FROM models p WHERE p.promoted_at < m.promoted_at
                ORDER BY p.promoted_at DESC LIMIT 1),
               'unknown', 'before promotions were recorded'
        FROM models m WHERE m.promoted_at IS NOT NULL ORDER BY m.promoted_at
        """
    )
    op.create_table(
        "experiments",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.String(length=128), nullable=True),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.Column("arms", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("stopped_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_experiments")),
    )
    op.execute(LIST_ORIGINS)


def downgrade() -> None:
    op.execute("DROP VIEW list_origins")
    op.drop_table("experiments")
    op.drop_table("promotions")
    for table, columns in added().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
