"""Publications: what is offered under which public name, and from where."""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.types import Json, Moment

publications = sa.Table(
    "publications",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("tenant", sa.String(63), nullable=False),
    # catalog or inferenceservice, and which one: "deepinfra/meta-llama/…", "acme/iris"
    sa.Column("source", sa.String(32), nullable=False),
    sa.Column("source_name", sa.Text, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("spec", Json, nullable=False),
    # Refs of the objects made for it, in the order in which they were applied.
    sa.Column("objects", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
    sa.Column("removed_at", Moment),
    sa.Column("operation_id", sa.String(32)),
    # One flat map of names is shared by all tenants, so a name is in use once.
    sa.Index(
        "uq_publications_live_name",
        "name",
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    ),
    sa.Index("ix_publications_tenant", "tenant"),
)
