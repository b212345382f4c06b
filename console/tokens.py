"""Tokens of the HTTP API: made once, kept as a digest, each with a role and tenants (DESIGN.md §4, "Principals")."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from console.call import Call
from console.guard import Principal, Role
from console.outcome import Ending, Outcome, Refusal, Revealed, counted, not_found
from console.store.engine import Store
from console.store.tables.access import api_tokens as table

PREFIX = "mdt_"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is kept. ``tenants`` None: all."""

    id: str
    name: str
    role: Role
    tenants: frozenset[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def principal(self, origin: str) -> Principal:
        return Principal(self.name, self.role, self.tenants, "api", origin)

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "role": self.role.name.lower(),
            "tenants": sorted(self.tenants) if self.tenants is not None else None,
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "created_by": self.created_by,
            "expires_at": self.expires_at.isoformat(timespec="seconds") if self.expires_at else None,
            "state": self.state(now),
        }


def digest_of_token(text: str) -> str:
    """What is kept of a token. It is 256 random bits: a plain hash cannot be searched."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


async def find_token(store: Store, text: str) -> Token | None:
    """The token with this text; None where there is none, or it counts no more."""
    if not text.startswith(PREFIX):
        return None
    async with store.reading() as db:
        row = (await db.execute(sa.select(table).where(table.c.digest == digest_of_token(text)))).mappings().first()
    token = _token(row) if row is not None else None
    return token if token is not None and token.state(datetime.now(UTC)) == "active" else None


async def create(call: Call) -> Outcome:
    """Make a token. Nobody can give more than he has himself."""
    role = Role.named(call["role"])
    tenants = frozenset(call["tenant"]) if call["tenant"] else None
    own = call.principal.tenants
    if role > call.principal.role or (own is not None and (tenants is None or not tenants <= own)):
        raise Refusal("a token cannot do more than who makes it; nothing was changed", code="FORBIDDEN", status=403)
    now = datetime.now(UTC)
    token = Token(
        id="t" + secrets.token_hex(4),
        name=call["name"],
        role=role,
        tenants=tenants,
        created_at=now,
        created_by=call.permit.actor,
        expires_at=now + timedelta(seconds=call["expires"]) if call["expires"] else None,
    )
    text = PREFIX + secrets.token_urlsafe(_BYTES)
    store = await call.services.store()
    await insert_token(store, token, text)
    return Outcome(
        Ending.DONE,
        f"token {token.id} ({token.name}) made, as {role.name.lower()}",
        proof=(f"{token.id} is in the database",),
        data=token.as_json(now),
        revealed=Revealed(text),
    )


async def insert_token(store: Store, token: Token, text: str) -> None:
    """Keep a token, by the digest of its text."""
    async with store.writing() as db:
        await db.execute(
            table.insert().values(
                id=token.id,
                name=token.name,
                digest=digest_of_token(text),
                role=token.role.name.lower(),
                tenants=sorted(token.tenants) if token.tenants is not None else None,
                created_at=token.created_at,
                created_by=token.created_by,
                expires_at=token.expires_at,
            )
        )


async def ensure_token(store: Store, name: str, text: str) -> None:
    """Let this text be an admin's token: for a stack whose secrets only its owner can read."""
    if await find_token(store, text) is None:
        token = Token("t" + secrets.token_hex(4), name, Role.ADMIN, None, datetime.now(UTC), "modeldeck")
        await insert_token(store, token, text)


async def listing(call: Call) -> Outcome:
    """Every token, the newest first."""
    store = await call.services.store()
    async with store.reading() as db:
        rows = (await db.execute(sa.select(table).order_by(table.c.created_at.desc()))).mappings().all()
    now = datetime.now(UTC)
    found = [_token(row).as_json(now) for row in rows]
    return Outcome(Ending.DONE, counted(len(found), "token"), data=found)


async def revoke(call: Call) -> Outcome:
    """Make a token useless."""
    store = await call.services.store()
    async with store.writing() as db:
        row = (await db.execute(sa.select(table).where(table.c.id == call["token"]))).mappings().first()
        if row is None:
            raise not_found(f"there is no token {call['token']}", then="modeldeck tokens list")
        if row["revoked_at"] is not None:
            return Outcome(Ending.UNCHANGED, f"token {row['id']} is revoked already")
        await db.execute(table.update().where(table.c.id == row["id"]).values(revoked_at=datetime.now(UTC)))
    return Outcome(Ending.DONE, f"token {row['id']} ({row['name']}) revoked", proof=("the row says so",))


def _token(row: Any) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        role=Role.named(row["role"]),
        tenants=frozenset(row["tenants"]) if row["tenants"] is not None else None,
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
