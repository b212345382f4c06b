"""Tokens of the HTTP API, and its idempotency keys.

Revision ID: 0004_api
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_api"
down_revision = "0003_sync_schedule"
branch_labels = None
depends_on = None

_JSON = sa.Text()
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("tenants", _JSON),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("revoked_at", _MOMENT),
    )
    op.create_table(
        "api_requests",
        sa.Column("token_id", sa.String(32), primary_key=True),
        sa.Column("idempotency_key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("body", _JSON),
        sa.Column("created_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_api_requests_created_at", "api_requests", ["created_at"])


def downgrade() -> None:
    op.drop_table("api_requests")
    op.drop_table("api_tokens")
