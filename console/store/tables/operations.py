"""The journal of operations, and the audit."""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.types import Json, Moment

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("tenant", sa.String(63)),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("recovery", sa.String(16), nullable=False),
    sa.Column("owner", sa.String(128)),
    sa.Column("lease_until", Moment),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("summary", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_operations_open", "state", "lease_until"),
    sa.Index("ix_operations_created", "created_at"),
)

operation_steps = sa.Table(
    "operation_steps",
    metadata,
    sa.Column("operation_id", sa.String(32), sa.ForeignKey("operations.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("arguments", Json, nullable=False),
    sa.Column("undo", Json),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("detail", sa.Text, nullable=False, server_default=""),
    sa.Column("started_at", Moment),
    sa.Column("ended_at", Moment),
)

# Append-only; each row's hash covers the one before it (console/audit.py).
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("via", sa.String(16), nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("tenant", sa.String(63)),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("detail", Json, nullable=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Index("ix_audit_at", "at"),
    sa.Index("ix_audit_target", "target"),
)
