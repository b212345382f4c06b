"""Where a key may be used from.

Revision ID: 0005_key_networks
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_key_networks"
down_revision = "0004_api"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("networks", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("keys") as table:
        table.drop_column("networks")
