"""Recovery: any running Modeldeck process ends what another one left behind, within a minute."""

from __future__ import annotations

import asyncio
import logging

from console.operations.journal import Journal
from console.operations.runner import Runner
from console.operations.types import OperationRecord
from console.outcome import ModeldeckError

INTERVAL_SECONDS = 10.0
log = logging.getLogger("modeldeck.recovery")


async def recover_once(
    journal: Journal, runner: Runner, *, tenants: frozenset[str] | None = None
) -> list[OperationRecord]:
    """Take over every interrupted operation (of these tenants) that nobody else takes, oldest first."""
    ended = []
    for identifier in await journal.interrupted(tenants=tenants):
        record = await runner.recover(identifier)
        if record is not None:
            log.info("%s of %s was interrupted: %s (%s)", record.kind, record.target, record.state, record.summary)
            ended.append(record)
    return ended


async def recover_forever(journal: Journal, runner: Runner, *, interval: float = INTERVAL_SECONDS) -> None:
    """Keep looking; a database that is away for a while does not end this."""
    while True:
        try:
            await recover_once(journal, runner)
        except ModeldeckError as problem:
            log.warning("recovery could not look: %s", problem)
        await asyncio.sleep(interval)
