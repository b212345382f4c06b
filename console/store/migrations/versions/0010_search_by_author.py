"""What searches by author and by family read on SQLite.

Revision ID: 0010_search_by_author
"""

from __future__ import annotations

from alembic import op

revision = "0010_search_by_author"
down_revision = "0009_budgets"
branch_labels = None
depends_on = None

_INDEXED = ("author", "family")
# What leaves models out, what the default order needs, and what the other orders need.
_AND = "hidden, retired_at, name_key, price_in, price_out, context_tokens, changed_at"


def upgrade() -> None:
    # PostgreSQL has none: an author may be longer than an entry of an index there.
    if op.get_bind().dialect.name == "sqlite":
        for column in _INDEXED:
            op.execute(f"CREATE INDEX ix_models_{column} ON models ({column} COLLATE NOCASE, {_AND})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for column in _INDEXED:
            op.execute(f"DROP INDEX ix_models_{column}")
