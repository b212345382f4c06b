"""The schedule of syncs, webhooks, and what searches read instead of the whole of a model.

Revision ID: 0003_sync_schedule
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_sync_schedule"
down_revision = "0002_operations"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEY = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")
_JSON = sa.Text()
_MOMENT = sa.BigInteger()
_FILTERED = (
    "hidden",
    "retired_at",
    "provider",
    "kind",
    "price_state",
    "price_in",
    "price_out",
    "price_image",
    "context_tokens",
    "max_output_tokens",
    "streaming",
    "tools",
    "vision",
    "json_mode",
    "reasoning",
    "deprecated",
    "missing_runs",
    "pinned",
    "changed_at",
)
_SEARCHED = (
    "native_id",
    "author",
    "family",
    "canonical_key",
    "input_modalities",
    "output_modalities",
    "name_key",
    "haystack",
)
_WORDS = "to_tsvector('simple', regexp_replace(haystack || ' ' || description, '[^[:alnum:]]+', ' ', 'g'))"


def upgrade() -> None:
    _create_sync_schedules()
    _create_webhook_events()
    op.create_index("ix_held_changes_run_id", "held_changes", ["run_id"])
    if op.get_bind().dialect.name == "sqlite":
        # Wide enough that no filter has to look into the table itself.
        op.create_index("ix_models_filter", "models", [*_FILTERED, *_SEARCHED])
        _create_words_on_sqlite()
        return
    # An entry of PostgreSQL's has a limit that a long name would break: only what has a size of its own.
    first, second, *rest = _FILTERED
    op.create_index("ix_models_filter", "models", [first, second], postgresql_include=rest)
    # Kept, not worked out in the index alone: a phrase is looked up in it once more for every row that has its words.
    op.execute(f"ALTER TABLE models ADD COLUMN words tsvector GENERATED ALWAYS AS ({_WORDS}) STORED")
    op.execute("CREATE INDEX ix_models_words ON models USING gin (words)")
    _create_trigrams_on_postgresql()


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for trigger in ("models_words_insert", "models_words_update", "models_words_delete"):
            op.execute(f"DROP TRIGGER {trigger}")
        op.execute("DROP TABLE models_words")
    else:
        op.drop_column("models", "words")  # and its index with it
        op.execute("DROP INDEX IF EXISTS ix_models_trigrams")
    op.drop_index("ix_models_filter", "models")
    op.drop_index("ix_held_changes_run_id", "held_changes")
    op.drop_table("webhook_events")
    op.drop_table("sync_schedules")


def _create_sync_schedules() -> None:
    op.create_table(
        "sync_schedules",
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("interval_s", sa.Integer()),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("next_run_at", _MOMENT, nullable=False),
        sa.Column("not_before", _MOMENT),
        sa.Column("quiet", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("claim", sa.BigInteger(), nullable=False),
        sa.Column("claimed_by", sa.Text(), nullable=False),
        sa.Column("claimed_until", _MOMENT),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", _MOMENT),
        sa.PrimaryKeyConstraint("provider", name="pk_sync_schedules"),
    )
    op.create_index("ix_sync_schedules_next_run_at", "sync_schedules", ["next_run_at"])


def _create_webhook_events() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("delivery", _KEY, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("signed", sa.Text(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("models", _JSON, nullable=False),
        sa.Column("sent_at", _MOMENT),
        sa.Column("tags", _JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_events"),
        sa.UniqueConstraint("delivery", name="uq_webhook_events_delivery"),
    )
    op.create_index("ix_webhook_events_gateway_received_at", "webhook_events", ["gateway", "received_at"])
    op.create_index("ix_webhook_events_received_at", "webhook_events", ["received_at"])


def _create_words_on_sqlite() -> None:
    op.execute(
        "CREATE VIRTUAL TABLE models_words USING fts5("
        "haystack, description, content='models', content_rowid='id', tokenize='unicode61 remove_diacritics 0')"
    )
    added = "INSERT INTO models_words(rowid, haystack, description) VALUES (new.id, new.haystack, new.description);"
    removed = (
        "INSERT INTO models_words(models_words, rowid, haystack, description) "
        "VALUES ('delete', old.id, old.haystack, old.description);"
    )
    op.execute(f"CREATE TRIGGER models_words_insert AFTER INSERT ON models BEGIN {added} END")
    op.execute(f"CREATE TRIGGER models_words_delete AFTER DELETE ON models BEGIN {removed} END")
    op.execute(
        "CREATE TRIGGER models_words_update AFTER UPDATE OF haystack, description ON models "
        "WHEN old.haystack <> new.haystack OR old.description <> new.description "
        f"BEGIN {removed} {added} END"
    )
    op.execute("INSERT INTO models_words(models_words) VALUES ('rebuild')")


def _create_trigrams_on_postgresql() -> None:
    """For parts of words; where the extension cannot be had, a search reads every name, which is slower and right."""
    bind = op.get_bind()
    try:
        with bind.begin_nested():
            bind.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except sa.exc.DBAPIError:
        return
    bind.execute(sa.text("CREATE INDEX ix_models_trigrams ON models USING gin (haystack gin_trgm_ops)"))
