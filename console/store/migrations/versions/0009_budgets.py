"""Budgets of keys and tenants.

Revision ID: 0009_budgets
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_budgets"
down_revision = "0008_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    key_text = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")
    op.create_table(
        "budgets",
        sa.Column("scope", sa.String(16), primary_key=True),
        sa.Column("name", key_text, primary_key=True),
        sa.Column("period", sa.String(16), nullable=False),
        sa.Column("tokens", sa.BigInteger()),
        sa.Column("usd", sa.Text()),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("told_of", sa.BigInteger(), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_table("budgets")
