"""Operations, the audit, publications and keys.

Revision ID: 0002_operations
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_operations"
down_revision = "0001_catalog"
branch_labels = None
depends_on = None

_JSON = sa.Text()
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    _create_operations()
    _create_audit()
    _create_publications()
    _create_keys()


def downgrade() -> None:
    for table in ("key_generations", "keys", "publications", "audit", "operation_steps", "operations"):
        op.drop_table(table)  # and its indexes with it


def _create_operations() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("tenant", sa.String(63)),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("recovery", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(128)),
        sa.Column("lease_until", _MOMENT),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("ended_at", _MOMENT),
        sa.Column("summary", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_operations"),
    )
    op.create_index("ix_operations_open", "operations", ["state", "lease_until"])
    op.create_index("ix_operations_created", "operations", ["created_at"])
    op.create_table(
        "operation_steps",
        sa.Column("operation_id", sa.String(32), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("arguments", _JSON, nullable=False),
        sa.Column("undo", _JSON),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False, server_default=""),
        sa.Column("started_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        sa.PrimaryKeyConstraint("operation_id", "seq", name="pk_operation_steps"),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operations.id"],
            name="fk_operation_steps_operation_id_operations",
            ondelete="CASCADE",
        ),
    )


def _create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False, autoincrement=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.String(16), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(63)),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("detail", _JSON, nullable=False),
        sa.Column("previous_hash", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_target", "audit", ["target"])


def _create_publications() -> None:
    op.create_table(
        "publications",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("source_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("spec", _JSON, nullable=False),
        sa.Column("objects", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.Column("removed_at", _MOMENT),
        sa.Column("operation_id", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="pk_publications"),
    )
    live = sa.text("removed_at IS NULL")
    op.create_index(
        "uq_publications_live_name", "publications", ["name"], unique=True, sqlite_where=live, postgresql_where=live
    )
    op.create_index("ix_publications_tenant", "publications", ["tenant"])


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant", sa.String(63), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("models", _JSON, nullable=False),
        sa.Column("expires_at", _MOMENT),
        sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("revoked_at", _MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    op.create_index("ix_keys_tenant", "keys", ["tenant"])
    op.create_table(
        "key_generations",
        sa.Column("key_id", sa.String(32), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("issued_at", _MOMENT, nullable=False),
        sa.Column("not_after", _MOMENT),
        sa.Column("revoked_at", _MOMENT),
        sa.Column("operation_id", sa.String(32)),
        sa.PrimaryKeyConstraint("key_id", "generation", name="pk_key_generations"),
        sa.UniqueConstraint("digest", name="uq_key_generations_digest"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_key_generations_key_id_keys", ondelete="CASCADE"),
    )
