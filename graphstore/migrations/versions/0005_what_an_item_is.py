"""what an item is: attributes, pages, stock, variants of one product, when each field was written"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def added() -> list[sa.Column[object]]:
    """The new columns of `items`, made anew at each call: a column object belongs to one table."""
    return [
        sa.Column("attributes", sa.Text(), server_default="{}", nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.Column("image_url", sa.Text(), server_default="", nullable=False),
        sa.Column("stock", sa.Integer(), nullable=True),
        sa.Column("product_id", sa.String(length=128), nullable=True),
        sa.Column("field_times", sa.Text(), server_default="{}", nullable=False),
    ]


def upgrade() -> None:
    for column in added():
        op.add_column("items", column)


def downgrade() -> None:
    for column in reversed(added()):
        op.drop_column("items", column.name)
