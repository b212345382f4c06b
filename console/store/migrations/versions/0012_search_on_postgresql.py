"""What makes searches on PostgreSQL as short as on SQLite: orders with their tie-break, authors and families by hash.

Revision ID: 0012_search_on_postgresql
"""

from __future__ import annotations

from alembic import op

revision = "0012_search_on_postgresql"
down_revision = "0011_suspensions"
branch_labels = None
depends_on = None

_ORDERS = ("name_key", "price_in", "price_out", "context_tokens", "changed_at")
_HASHED = ("author", "family")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in _ORDERS:
        op.drop_index(f"ix_models_{column}", "models")
        # SQLite has the id in every index. Without it a page of the cheapest has to sort all that cost the same.
        op.create_index(f"ix_models_{column}", "models", [column, "id"])
    for column in _HASHED:
        # By hash, for an author may be longer than an entry of an ordered index.
        op.execute(f"CREATE INDEX ix_models_{column} ON models USING hash (lower({column}))")


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in _HASHED:
        op.execute(f"DROP INDEX ix_models_{column}")
    for column in _ORDERS:
        op.drop_index(f"ix_models_{column}", "models")
        op.create_index(f"ix_models_{column}", "models", [column])
