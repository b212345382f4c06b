"""Keys that were taken over from another writer's entries.

Revision ID: 0006_imported_keys
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_imported_keys"
down_revision = "0005_key_networks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("imported", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("keys") as table:
        table.drop_column("imported")
