"""A key's form, its labels, and the tenants whose publications it may call.

Revision ID: 0007_key_scopes
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_key_scopes"
down_revision = "0006_imported_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keys", sa.Column("form", sa.String(8), nullable=False, server_default="bud"))
    op.add_column("keys", sa.Column("labels", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("keys", sa.Column("tenants", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("keys") as table:
        for name in ("tenants", "labels", "form"):
            table.drop_column(name)
