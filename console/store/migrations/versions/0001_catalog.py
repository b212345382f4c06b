"""The catalog and the record of its syncs.

Revision ID: 0001_catalog
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_catalog"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out here, not imported: a migration says what a database became on that day, whatever the code is now.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEY = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")
_JSON = sa.Text()
_MOMENT = sa.BigInteger()


def upgrade() -> None:
    _create_providers()
    _create_models()
    _create_model_prices()
    _create_model_overrides()
    _create_provider_states()
    _create_sync_runs()
    _create_sync_run_providers()
    _create_sync_rejects()
    _create_model_changes()
    _create_held_changes()
    _create_sync_leases()


def downgrade() -> None:
    for table in (
        "sync_leases",
        "held_changes",
        "model_changes",
        "sync_rejects",
        "sync_run_providers",
        "sync_runs",
        "provider_states",
        "model_overrides",
        "model_prices",
        "models",
        "providers",
    ):
        op.drop_table(table)  # and its indexes with it


def _to_provider(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["provider"], ["providers.slug"], name=f"fk_{table}_provider_providers", ondelete="CASCADE"
    )


def _to_model(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=f"fk_{table}_model_id_models", ondelete="CASCADE")


def _to_run(table: str, on_delete: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["run_id"], ["sync_runs.id"], name=f"fk_{table}_run_id_sync_runs", ondelete=on_delete
    )


def _create_providers() -> None:
    op.create_table(
        "providers",
        sa.Column("slug", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("list_url", sa.Text(), nullable=False),
        sa.Column("api_url", sa.Text(), nullable=False),
        sa.Column("site_url", sa.Text(), nullable=False),
        sa.Column("credential_env", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("capabilities", _JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("updated_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("slug", name="pk_providers"),
    )


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", _ID, nullable=False),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("native_id", _KEY, nullable=False),
        sa.Column("canonical_key", _KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("haystack", sa.Text(), nullable=False),
        sa.Column("author", sa.Text()),
        sa.Column("family", sa.Text()),
        sa.Column("kind", sa.Text()),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("context_tokens", sa.BigInteger()),
        sa.Column("max_output_tokens", sa.BigInteger()),
        sa.Column("input_modalities", _JSON),
        sa.Column("output_modalities", _JSON),
        sa.Column("streaming", sa.Boolean()),
        sa.Column("tools", sa.Boolean()),
        sa.Column("vision", sa.Boolean()),
        sa.Column("json_mode", sa.Boolean()),
        sa.Column("reasoning", sa.Boolean()),
        sa.Column("deprecated", sa.Boolean()),
        sa.Column("retires_at", _MOMENT),
        sa.Column("replaced_by", sa.Text()),
        sa.Column("released_at", _MOMENT),
        sa.Column("facts", _JSON, nullable=False),
        sa.Column("price_state", sa.Text(), nullable=False),
        sa.Column("price_in", sa.BigInteger()),
        sa.Column("price_out", sa.BigInteger()),
        sa.Column("price_image", sa.BigInteger()),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("first_seen_at", _MOMENT, nullable=False),
        sa.Column("first_seen_run", sa.BigInteger()),
        sa.Column("changed_at", _MOMENT, nullable=False),
        sa.Column("changed_run", sa.BigInteger()),
        sa.Column("last_seen_at", _MOMENT),
        sa.Column("missing_runs", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("retired_at", _MOMENT),
        sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("pinned", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("provider", "native_id", name="uq_models_provider_native_id"),
        _to_provider("models"),
    )
    for column in ("canonical_key", "name_key", "price_in", "price_out", "context_tokens", "changed_at"):
        op.create_index(f"ix_models_{column}", "models", [column])


def _create_model_prices() -> None:
    op.create_table(
        "model_prices",
        sa.Column("model_id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("usd", sa.Text()),
        sa.Column("per", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("raw_unit", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "kind", name="pk_model_prices"),
        _to_model("model_prices"),
        sa.CheckConstraint("state IN ('known', 'free', 'dynamic', 'unknown')", name=op.f("ck_model_prices_state")),
        sa.CheckConstraint("(usd IS NULL) = (state IN ('dynamic', 'unknown'))", name=op.f("ck_model_prices_amount")),
        sqlite_with_rowid=False,
    )


def _create_model_overrides() -> None:
    op.create_table(
        "model_overrides",
        sa.Column("model_id", _ID, nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("prices", _JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("model_id", name="pk_model_overrides"),
        _to_model("model_overrides"),
    )


def _create_provider_states() -> None:
    op.create_table(
        "provider_states",
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("etag", sa.Text()),
        sa.Column("last_modified", sa.Text()),
        sa.Column("list_url", sa.Text(), nullable=False),
        sa.Column("revision", sa.Text(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_provider_states"),
        _to_provider("provider_states"),
    )


def _create_sync_runs() -> None:
    op.create_table(
        "sync_runs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("asked", _JSON, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("finished_at", _MOMENT),
        sa.Column("alive_until", _MOMENT, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_runs"),
    )
    op.create_index("ix_sync_runs_started_at", "sync_runs", ["started_at"])


def _create_sync_run_providers() -> None:
    counts = (
        "fetched",
        "normalised",
        "rejected",
        "written",
        "unchanged",
        "missing",
        "added",
        "changed",
        "returned",
        "retired",
        "held",
    )
    op.create_table(
        "sync_run_providers",
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("baseline", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counts),
        sa.Column("body_bytes", sa.BigInteger(), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", _MOMENT, nullable=False),
        sa.Column("retry_at", _MOMENT),
        sa.PrimaryKeyConstraint("run_id", "provider", name="pk_sync_run_providers"),
        _to_run("sync_run_providers", "CASCADE"),
    )
    op.create_index("ix_sync_run_providers_provider_finished_at", "sync_run_providers", ["provider", "finished_at"])


def _create_sync_rejects() -> None:
    op.create_table(
        "sync_rejects",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID, nullable=False),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=False),
        sa.Column("costs", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_rejects"),
        _to_run("sync_rejects", "CASCADE"),
    )
    op.create_index("ix_sync_rejects_run_id_provider", "sync_rejects", ["run_id", "provider"])


def _create_model_changes() -> None:
    op.create_table(
        "model_changes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("run_id", _ID),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("model_id", _ID),
        sa.Column("native_id", _KEY, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("before", _JSON),
        sa.Column("after", _JSON),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_changes"),
        _to_run("model_changes", "SET NULL"),
        _to_model("model_changes"),
    )
    op.create_index("ix_model_changes_run_id", "model_changes", ["run_id"])
    op.create_index("ix_model_changes_provider_at", "model_changes", ["provider", "at"])
    op.create_index("ix_model_changes_model_id_at", "model_changes", ["model_id", "at"])


def _create_held_changes() -> None:
    op.create_table(
        "held_changes",
        sa.Column("id", _ID, nullable=False),
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("model_id", _ID),
        sa.Column("native_id", _KEY, nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("before", _JSON),
        sa.Column("proposed", _JSON),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("run_id", _ID),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("decided_at", _MOMENT),
        sa.Column("decided_by", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_held_changes"),
        _to_provider("held_changes"),
        _to_model("held_changes"),
        _to_run("held_changes", "SET NULL"),
    )
    op.create_index("ix_held_changes_provider_state", "held_changes", ["provider", "state"])
    op.create_index("ix_held_changes_model_id", "held_changes", ["model_id"])


def _create_sync_leases() -> None:
    op.create_table(
        "sync_leases",
        sa.Column("provider", _KEY, nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("provider", name="pk_sync_leases"),
    )
