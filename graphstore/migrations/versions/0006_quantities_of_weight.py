"""quantities that are no whole numbers: 0.45 kg

Both databases write the table of interactions anew: PostgreSQL about a million rows in two seconds, during which
nothing else reads or writes it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("interactions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("quantity", existing_type=sa.Integer(), type_=sa.Float(), existing_nullable=True)


def downgrade() -> None:
    with op.batch_alter_table("interactions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("quantity", existing_type=sa.Float(), type_=sa.Integer(), existing_nullable=True)
