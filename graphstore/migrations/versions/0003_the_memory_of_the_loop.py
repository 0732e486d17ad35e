"""the loop remembers: promotions, experiments, the lineage of models, the life of runs and requests"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


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


def downgrade() -> None:
    op.drop_table("experiments")
    op.drop_table("promotions")
    for table, columns in added().items():
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column.name)
