"""What PostgreSQL reads instead of the whole of a model to count a search by modalities, or without a part of a name.

Revision ID: 0013_searched_on_postgresql
"""

from __future__ import annotations

from alembic import op

revision = "0013_searched_on_postgresql"
down_revision = "0012_search_on_postgresql"
branch_labels = None
depends_on = None

# Beside ix_models_filter, which is half as long and serves all that asks for neither.
_COLUMNS = (
    "provider", "kind", "price_state", "price_in", "price_out", "price_image", "context_tokens", "max_output_tokens",
    "streaming", "tools", "vision", "json_mode", "reasoning", "deprecated", "missing_runs", "pinned", "changed_at",
    "input_modalities", "output_modalities", "haystack",
)  # fmt: skip
_NAMED = ("author", "family")


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    # As a sync has written them since: an entry holds no more. What is cut here, the next sync writes in full.
    op.execute("UPDATE models SET haystack = left(haystack, 300) WHERE octet_length(haystack) > 1200")
    op.execute("UPDATE models SET input_modalities = NULL WHERE octet_length(input_modalities) > 434")
    op.execute("UPDATE models SET output_modalities = NULL WHERE octet_length(output_modalities) > 434")
    op.create_index("ix_models_searched", "models", ["hidden", "retired_at"], postgresql_include=_COLUMNS)
    for column in _NAMED:
        op.execute(f"DROP INDEX ix_models_{column}")
        # In the order that a list has at first; the beginning, for the whole of it may be longer than an entry.
        op.execute(f'CREATE INDEX ix_models_{column} ON models ("left"(lower({column}), 100), name_key, id)')


def downgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for column in _NAMED:
        op.execute(f"DROP INDEX ix_models_{column}")
        op.execute(f"CREATE INDEX ix_models_{column} ON models USING hash (lower({column}))")
    op.drop_index("ix_models_searched", "models")
