"""Usage by key, model and tenant, a minute, an hour and a day at a time.

Revision ID: 0008_usage
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_usage"
down_revision = "0007_key_scopes"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEY_TEXT = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")
_MEASURES = (
    "requests", "refused", "failed", "aborted", "input_tokens", "output_tokens", "metered", "unmetered", "unpriced",
    "cost", "milliseconds", *(f"latency_{number}" for number in range(10)),
)  # fmt: skip


def _measures() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False, server_default="0") for name in _MEASURES]


def _when() -> list[sa.Column[int]]:
    return [
        sa.Column("grain", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("start", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("series", sa.Integer(), sa.ForeignKey("usage_series.id"), primary_key=True, autoincrement=False),
    ]


def upgrade() -> None:
    op.create_table(
        "usage_series",
        sa.Column("id", _ROW_ID, primary_key=True),
        sa.Column("tenant", _KEY_TEXT, nullable=False),
        sa.Column("key_id", _KEY_TEXT, nullable=False),
        sa.Column("model", _KEY_TEXT, nullable=False),
        *_measures(),
        sa.UniqueConstraint("tenant", "key_id", "model"),
    )
    op.create_table("usage", *_when(), *_measures(), sqlite_with_rowid=False)
    op.create_table(
        "usage_denials",
        *_when(),
        sa.Column("reason", _KEY_TEXT, primary_key=True),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "usage_sources",
        sa.Column("name", _KEY_TEXT, primary_key=True),
        sa.Column("file", sa.String(64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("unreadable", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    for name in ("usage_sources", "usage_denials", "usage", "usage_series"):
        op.drop_table(name)
