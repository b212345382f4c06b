"""A rotation that is asked for again: the generation that it made then, and never its text.

What was asked for stands in the journal beside the generation that it made (`journaling.issue`), so a rotation that was
undone is forgotten with it, and asking again rotates. The operator's idempotency key is kept as a digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.call import Call
from console.keys import book
from console.keys.types import Key, told
from console.outcome import Ending, Outcome, Refusal, conflict


@dataclass(frozen=True, slots=True)
class Request:
    """A request that may come again. ``grace`` in seconds."""

    digest: str
    grace: int

    @classmethod
    def of(cls, call: Call) -> Request | None:
        """What was asked for; None where it does not say which request it is."""
        key = call["idempotency_key"]
        return cls(hashlib.sha256(key.encode()).hexdigest(), call["grace"]) if key else None

    def as_json(self) -> dict[str, Any]:
        return {"digest": self.digest, "grace": self.grace}

    async def answered(self, call: Call, key: Key) -> Outcome | None:
        """The answer where this request has been here; None where it is new.

        Raises:
            Refusal: it was another request, the first has not ended, or what it made does not work any more.
        """
        store = await call.services.store()
        done = await book.operations_of(store, key.id)
        for operation, arguments in done.items():
            before = arguments.get("request")
            if before is not None and before["digest"] == self.digest:
                return await self._again(call, key, operation, arguments, before)
        return None

    async def _again(
        self, call: Call, key: Key, operation: str, issued: Mapping[str, Any], before: Mapping[str, Any]
    ) -> Outcome:
        if before["grace"] != self.grace:
            raise Refusal(
                f"this idempotency key was used with a grace of {before['grace']} s; nothing was changed",
                code="IDEMPOTENCY_KEY_REUSED",
            )
        record = await (await call.services.journal()).read(operation)
        if not record.state.over:
            raise conflict(
                "the first rotation with this idempotency key has not ended; nothing was changed",
                code="STILL_RUNNING",
                then=f"modeldeck operations show {operation[:8]}",
            )
        now = datetime.now(UTC)
        number, at = issued["generation"], datetime.fromisoformat(issued["issued_at"])
        made = next((one for one in key.generations if one.digest == issued["digest"]), None)
        if made is None or made.revoked_at is not None or key.revoked_at is not None:
            # Whoever asks again takes the answer for a key that works.
            raise conflict(
                f"generation {number} of {key} was issued for this request ({told(at, now)}), and does not work any "
                "more: it was taken back, or ended; nothing was changed",
                code="GENERATION_ENDED",
                then=f"modeldeck keys rotate {key.id} with another idempotency key",
            )
        summary = (
            f"generation {number} of {key} was issued for this request already ({told(at, now)}); its text was shown "
            "then and is kept nowhere"
        )
        data = key.as_json(now) | {"operation": operation, "generation": number, "repeated": True}
        rotating = len(key.live(now)) > 1  # only then is there something to be taken back
        back = f"modeldeck keys withdraw {key.id}, and " if rotating else ""
        then = f"if it is lost: {back}modeldeck keys rotate {key.id} with another idempotency key"
        return Outcome(Ending.UNCHANGED, summary, data=data, then=then)
