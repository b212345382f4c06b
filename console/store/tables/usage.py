"""Usage: what was called through the gateway, by key, model and tenant, a minute, an hour and a day at a time.

``usage_series``     each tenant, key and model that was seen together, and what it has used in all
``usage``            what a series used in one minute, hour or day
``usage_denials``    why requests of it were refused
``budgets``          what keys and tenants may spend
``usage_sources``    up to where each log was read: written together with what was read

A row of ``usage`` is some 60 bytes, for a year of 500 series must fit into two gigabytes.
"""

from __future__ import annotations

import sqlalchemy as sa

from console.store.metadata import metadata
from console.store.tables.catalog import KeyText, RowId
from console.store.types import Moment

LATENCY_BOUNDS = (50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
"""Milliseconds: the upper bounds of the counters of latency, after which comes one for everything slower."""
LATENCIES = tuple(f"latency_{number}" for number in range(len(LATENCY_BOUNDS) + 1))
MEASURES = (
    "requests",
    "refused",  # answered with 4xx
    "failed",  # answered with 5xx, or not at all
    "aborted",  # the client went away
    "input_tokens",
    "output_tokens",
    "metered",  # requests whose tokens are known
    "unmetered",  # requests that may have cost tokens, nobody knows how many
    "unpriced",  # requests whose tokens are known, and their price is not
    "cost",  # of what is metered and priced, in pico-dollars (10⁻¹² USD)
    "milliseconds",
    *LATENCIES,
)


def _measures() -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in MEASURES]


usage_series = sa.Table(
    "usage_series",
    metadata,
    sa.Column("id", RowId, primary_key=True),
    # Each "" where it is not known: of who had no key, and of who named no model of ours.
    sa.Column("tenant", KeyText, nullable=False),
    sa.Column("key_id", KeyText, nullable=False),
    sa.Column("model", KeyText, nullable=False),
    *_measures(),
    sa.UniqueConstraint("tenant", "key_id", "model"),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("grain", sa.Integer, primary_key=True, autoincrement=False),  # seconds: 60, 3600 or 86400
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),  # seconds since 1970, UTC
    sa.Column("series", sa.Integer, sa.ForeignKey("usage_series.id"), primary_key=True, autoincrement=False),
    *_measures(),
    sqlite_with_rowid=False,
)

usage_denials = sa.Table(
    "usage_denials",
    metadata,
    sa.Column("grain", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("series", sa.Integer, sa.ForeignKey("usage_series.id"), primary_key=True, autoincrement=False),
    sa.Column("reason", KeyText, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

usage_sources = sa.Table(
    "usage_sources",
    metadata,
    sa.Column("name", KeyText, primary_key=True),
    # Which file: the digest of its first line. Files are renamed, and numbers of inodes are given out again.
    sa.Column("file", sa.String(64), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),  # bytes of it that are read
    sa.Column("read_at", Moment, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("unreadable", sa.BigInteger, nullable=False),  # lines that are no request of a gateway's
    sa.Column("gaps", sa.BigInteger, nullable=False),  # times that a file was gone before it was read to its end
)

# What keys and tenants may spend (console/access/budgets.py). Redis has a copy, and what is left.
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("scope", sa.String(16), primary_key=True),  # key or tenant
    sa.Column("name", KeyText, primary_key=True),  # the id of the key, or the tenant
    sa.Column("period", sa.String(16), nullable=False),
    sa.Column("tokens", sa.BigInteger),
    sa.Column("usd", sa.Text),  # exact decimal
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("set_at", Moment, nullable=False),
    # The percentage that somebody was last told of, and in which period (its beginning, Unix seconds).
    sa.Column("told", sa.Integer, nullable=False, server_default="0"),
    sa.Column("told_of", sa.BigInteger, nullable=False, server_default="0"),
)
