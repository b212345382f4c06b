"""Suspended tenants, and the keys whose digests a Secret has not as they are.

Revision ID: 0011_suspensions
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_suspensions"
down_revision = "0010_search_by_author"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key_text = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")
    op.create_table(
        "suspended_tenants",
        sa.Column("tenant", key_text, primary_key=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("suspended_at", sa.BigInteger(), nullable=False),
    )
    op.add_column("keys", sa.Column("digests_behind", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    with op.batch_alter_table("keys") as table:
        table.drop_column("digests_behind")
    op.drop_table("suspended_tenants")
