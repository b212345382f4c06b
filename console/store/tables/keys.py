"""Keys and their generations. The text of a key is in no column."""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.types import Json, Moment

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("tenant", sa.String(63), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    # client or admin: bud_client_… and bud_admin_… (originals.md §1.1)
    sa.Column("kind", sa.String(16), nullable=False),
    # bud: as a budgateway's; mdk: with a checksum (console/access/forms.py)
    sa.Column("form", sa.String(8), nullable=False, server_default="bud"),
    sa.Column("models", Json, nullable=False),
    # CIDRs; an empty list is everywhere.
    sa.Column("networks", Json, nullable=False, server_default="[]"),
    # {name: value}
    sa.Column("labels", Json, nullable=False, server_default="{}"),
    # Whose publications it may call beside its own tenant's; an empty list is everybody's.
    sa.Column("tenants", Json, nullable=False, server_default="[]"),
    # Of a key that was taken over from another writer: {"source": its Redis key, "grants": {model: where it leads}}.
    sa.Column("imported", Json),
    sa.Column("expires_at", Moment),
    sa.Column("suspended", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("revoked_at", Moment),
    # Whether the tenant's Secret could not be brought up to what is here (console/keys/digests.py).
    sa.Column("digests_behind", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_keys_tenant", "tenant"),
)

key_generations = sa.Table(
    "key_generations",
    metadata,
    sa.Column("key_id", sa.String(32), sa.ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("generation", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("last_four", sa.String(4), nullable=False),
    sa.Column("issued_at", Moment, nullable=False),
    # The end of its grace; None while it is the current one.
    sa.Column("not_after", Moment),
    sa.Column("revoked_at", Moment),
    sa.Column("operation_id", sa.String(32)),
)
