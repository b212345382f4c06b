"""Who may call the HTTP API, what was asked of it with an idempotency key, and whose keys the gateway refuses.

The text of a token is in no column.
"""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.tables.catalog import KeyText
from console.store.types import Json, Moment

api_tokens = sa.Table(
    "api_tokens",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    # A list of tenants; null is all of them.
    sa.Column("tenants", Json),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("revoked_at", Moment),
)

api_requests = sa.Table(
    "api_requests",
    metadata,
    sa.Column("token_id", sa.String(32), primary_key=True),
    sa.Column("idempotency_key", sa.String(255), primary_key=True),
    # Of method, path and body: the same key for something else is a mistake.
    sa.Column("fingerprint", sa.String(64), nullable=False),
    # Null while it runs.
    sa.Column("status", sa.Integer),
    sa.Column("body", Json),
    sa.Column("created_at", Moment, nullable=False),
    sa.Index("ix_api_requests_created_at", "created_at"),
)

# Tenants whose keys are refused (console/access/suspensions.py). Redis has a copy, which the workers decide by.
suspended_tenants = sa.Table(
    "suspended_tenants",
    metadata,
    sa.Column("tenant", KeyText, primary_key=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("suspended_at", Moment, nullable=False),
)
