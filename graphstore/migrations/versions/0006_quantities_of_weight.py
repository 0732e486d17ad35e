"""quantities that are no whole numbers: 0.45 kg

Both databases write the table of interactions anew, during which nothing else reads or writes it.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    alter(sa.Integer(), sa.Float())


def downgrade() -> None:
    alter(sa.Float(), sa.Integer())


def alter(before: sa.types.TypeEngine[Any], after: sa.types.TypeEngine[Any]) -> None:
    """Change the type of the quantities."""
    with op.batch_alter_table("interactions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("quantity", existing_type=before, type_=after, existing_nullable=True)
