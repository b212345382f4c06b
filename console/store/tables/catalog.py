"""The catalog, and the record of how it was kept true.

``providers``, ``models``, ``model_prices``  what is offered, by whom, for how much
``model_overrides``                          what an operator decided about a model; no sync writes it
``provider_states``                          what the next fetch needs to know of the last good one
``sync_runs``, ``sync_run_providers``,
``sync_rejects``                             what each run did, provider by provider
``model_changes``, ``held_changes``          what changed, and what waits for an operator's decision
``sync_leases``                              who is syncing a provider at this moment
``sync_schedules``                           when each provider is due (console/sync/schedule.py)
``webhook_events``                           what somebody told us to look at (console/sync/webhooks.py)

A provider is known by its slug, which is the key everywhere: no join is needed to filter by it. Exact prices are text
in ``model_prices``; `price_in`, `price_out` and `price_image` of ``models`` are the same prices in femto-dollars
(10⁻¹⁵ USD), rounded down, for sorting and filtering (`console.catalog.prices.femto`).
"""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.types import Json, Moment

# SQLite gives out row ids only for a column that is called INTEGER.
RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# Text that is sorted and compared byte by byte, alike in both databases and whatever their locale.
KeyText = sa.Text(collation="C").with_variant(sa.Text(collation="BINARY"), "sqlite")

providers = sa.Table(
    "providers",
    metadata,
    sa.Column("slug", KeyText, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("list_url", sa.Text, nullable=False),
    sa.Column("api_url", sa.Text, nullable=False),
    sa.Column("site_url", sa.Text, nullable=False),
    sa.Column("credential_env", sa.Text, nullable=False),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("capabilities", Json, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("updated_at", Moment, nullable=False),
)

models = sa.Table(
    "models",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    sa.Column("provider", KeyText, sa.ForeignKey("providers.slug", ondelete="CASCADE"), nullable=False),
    # exactly as the provider writes it: this is what a request to it must name
    sa.Column("native_id", KeyText, nullable=False),
    # the same for the same model at another provider, as far as the names tell (console.catalog.identity)
    sa.Column("canonical_key", KeyText, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("name_key", KeyText, nullable=False),  # case-folded, to sort by
    sa.Column("haystack", sa.Text, nullable=False),  # case-folded id, name and author, to search in
    sa.Column("author", sa.Text),
    sa.Column("family", sa.Text),
    sa.Column("kind", sa.Text),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("context_tokens", sa.BigInteger),
    sa.Column("max_output_tokens", sa.BigInteger),
    sa.Column("input_modalities", Json),
    sa.Column("output_modalities", Json),
    # each true, false, or NULL where the provider does not say
    sa.Column("streaming", sa.Boolean),
    sa.Column("tools", sa.Boolean),
    sa.Column("vision", sa.Boolean),
    sa.Column("json_mode", sa.Boolean),
    sa.Column("reasoning", sa.Boolean),
    sa.Column("deprecated", sa.Boolean),
    sa.Column("retires_at", Moment),
    sa.Column("replaced_by", sa.Text),
    sa.Column("released_at", Moment),
    sa.Column("facts", Json, nullable=False),
    sa.Column("price_state", sa.Text, nullable=False),
    sa.Column("price_in", sa.BigInteger),
    sa.Column("price_out", sa.BigInteger),
    sa.Column("price_image", sa.BigInteger),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
    sa.Column("first_seen_run", sa.BigInteger),
    sa.Column("changed_at", Moment, nullable=False),
    sa.Column("changed_run", sa.BigInteger),
    # NULL while the newest list has it; else when it was last in one
    sa.Column("last_seen_at", Moment),
    sa.Column("missing_runs", sa.Integer, nullable=False, server_default="0"),
    sa.Column("retired_at", Moment),
    # copies of the operator's decisions, so that a filter needs no join
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("provider", "native_id"),
    sa.Index(None, "canonical_key"),
)
# What searches read instead of the whole of a model. Their forms differ between the databases, so they are in the
# migrations only: each order of a list has an index, and so have authors and families. On SQLite FILTER_INDEX holds
# every column that is filtered by, and names and descriptions have their words in ``models_words`` (FTS5); PostgreSQL
# has SEARCHED_INDEX with modalities and names beside a shorter one without, a column ``words`` of its own with an
# index, and one of trigrams.
FILTER_INDEX, WORDS, TRIGRAM_INDEX = "ix_models_filter", "models_words", "ix_models_trigrams"
SEARCHED_INDEX = "ix_models_searched"

model_prices = sa.Table(
    "model_prices",
    metadata,
    sa.Column("model_id", RowId, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),  # console.catalog.types.PriceKind
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("usd", sa.Text),  # exact decimal, USD per `per`
    sa.Column("per", sa.Text, nullable=False),
    sa.Column("raw", sa.Text, nullable=False),  # as the provider sent it
    sa.Column("raw_unit", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.CheckConstraint("state IN ('known', 'free', 'dynamic', 'unknown')", name="state"),
    sa.CheckConstraint("(usd IS NULL) = (state IN ('dynamic', 'unknown'))", name="amount"),
    sqlite_with_rowid=False,  # one tree instead of two: half of all rows of the catalog are here
)

model_overrides = sa.Table(
    "model_overrides",
    metadata,
    sa.Column("model_id", RowId, sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("hidden", sa.Boolean, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("prices", Json, nullable=False),  # {kind: "USD per unit, exact"}
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("at", Moment, nullable=False),
)

provider_states = sa.Table(
    "provider_states",
    metadata,
    sa.Column("provider", KeyText, sa.ForeignKey("providers.slug", ondelete="CASCADE"), primary_key=True),
    # The validators hold for this URL and for this reading of it only (console/sync/revision.py).
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("list_url", sa.Text, nullable=False),
    sa.Column("revision", sa.Text, nullable=False),
    sa.Column("listed", sa.Integer, nullable=False),  # models in the last list that was taken over
)

sync_runs = sa.Table(
    "sync_runs",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),  # console.sync.types.RunState
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("via", sa.Text, nullable=False),
    sa.Column("asked", Json, nullable=False),  # slugs
    sa.Column("holder", sa.Text, nullable=False),  # host and process, as in sync_leases
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("finished_at", Moment),
    sa.Column("alive_until", Moment, nullable=False),
    sa.Column("summary", sa.Text, nullable=False),
    sa.Index(None, "started_at"),
)

sync_run_providers = sa.Table(
    "sync_run_providers",
    metadata,
    sa.Column("run_id", RowId, sa.ForeignKey("sync_runs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("baseline", sa.Boolean, nullable=False),
    sa.Column("fetched", sa.Integer, nullable=False),
    sa.Column("normalised", sa.Integer, nullable=False),
    sa.Column("rejected", sa.Integer, nullable=False),
    sa.Column("written", sa.Integer, nullable=False),
    sa.Column("unchanged", sa.Integer, nullable=False),
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("added", sa.Integer, nullable=False),
    sa.Column("changed", sa.Integer, nullable=False),
    sa.Column("returned", sa.Integer, nullable=False),
    sa.Column("retired", sa.Integer, nullable=False),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("body_bytes", sa.BigInteger, nullable=False),
    sa.Column("milliseconds", sa.BigInteger, nullable=False),
    sa.Column("finished_at", Moment, nullable=False),
    sa.Column("retry_at", Moment),
    sa.Index(None, "provider", "finished_at"),
)

sync_rejects = sa.Table(
    "sync_rejects",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    sa.Column("run_id", RowId, sa.ForeignKey("sync_runs.id", ondelete="CASCADE"), nullable=False),
    sa.Column("provider", KeyText, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),  # in the list, from 1
    sa.Column("native_id", sa.Text, nullable=False),
    sa.Column("costs", sa.Text, nullable=False),  # record: it was left out; field: taken over without this field
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("record", sa.Text, nullable=False),  # JSON, cut to size, without secrets
    sa.Index(None, "run_id", "provider"),
)

model_changes = sa.Table(
    "model_changes",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    # NULL where no run but an operator's decision wrote it
    sa.Column("run_id", RowId, sa.ForeignKey("sync_runs.id", ondelete="SET NULL")),
    sa.Column("provider", KeyText, nullable=False),
    sa.Column("model_id", RowId, sa.ForeignKey("models.id", ondelete="CASCADE")),  # NULL for a baseline
    sa.Column("native_id", KeyText, nullable=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # console.catalog.types.ChangeKind
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("before", Json),
    sa.Column("after", Json),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Index(None, "run_id"),
    sa.Index(None, "provider", "at"),
    sa.Index(None, "model_id", "at"),
)

held_changes = sa.Table(
    "held_changes",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    sa.Column("provider", KeyText, sa.ForeignKey("providers.slug", ondelete="CASCADE"), nullable=False),
    sa.Column("model_id", RowId, sa.ForeignKey("models.id", ondelete="CASCADE")),  # NULL: the whole list
    sa.Column("native_id", KeyText, nullable=False),
    sa.Column("field", sa.Text, nullable=False),  # "price.input", or "list" for a list that shrank
    sa.Column("before", Json),
    sa.Column("proposed", Json),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # console.sync.types.HeldState
    sa.Column("run_id", RowId, sa.ForeignKey("sync_runs.id", ondelete="SET NULL")),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("decided_by", sa.Text, nullable=False, server_default=""),
    sa.Index(None, "provider", "state"),
    sa.Index(None, "model_id"),
    sa.Index(None, "run_id"),
)

sync_leases = sa.Table(
    "sync_leases",
    metadata,
    sa.Column("provider", KeyText, primary_key=True),
    sa.Column("run_id", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", Moment, nullable=False),
)

sync_schedules = sa.Table(
    "sync_schedules",
    metadata,
    sa.Column("provider", KeyText, primary_key=True),  # "*": the daily run of all
    sa.Column("interval_s", sa.Integer),  # an operator's; NULL: that of its tier
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("next_run_at", Moment, nullable=False),
    sa.Column("not_before", Moment),  # the provider asked to be left alone until then
    sa.Column("quiet", sa.Integer, nullable=False),  # runs in a row that changed nothing
    sa.Column("failures", sa.Integer, nullable=False),  # runs in a row that got no list
    sa.Column("reason", sa.Text, nullable=False),  # why it is due when it is
    sa.Column("claim", sa.BigInteger, nullable=False),  # counts up: a late answer of an older claim is void
    sa.Column("claimed_by", sa.Text, nullable=False),
    sa.Column("claimed_until", Moment),
    sa.Column("changed_by", sa.Text, nullable=False),
    sa.Column("changed_at", Moment),
    sa.Index(None, "next_run_at"),
)

webhook_events = sa.Table(
    "webhook_events",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    sa.Column("delivery", KeyText, nullable=False, unique=True),  # its id, or the digest of its body
    sa.Column("received_at", Moment, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("signed", sa.Text, nullable=False),  # hex, or standard
    sa.Column("gateway", sa.Text, nullable=False),  # a provider's slug
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("models", Json, nullable=False),  # [{"id", "name", "provider_slug"}]
    sa.Column("sent_at", Moment),
    sa.Column("tags", Json, nullable=False),  # of the caches that it voided
    sa.Column("note", sa.Text, nullable=False),  # what it led to
    sa.Column("repeats", sa.Integer, nullable=False),  # deliveries of the same that were ignored
    sa.Index(None, "gateway", "received_at"),
    sa.Index(None, "received_at"),
)
