"""What syncs tell Sentry: each provider that failed, and how long everything took.

Only where ``SENTRY_DSN`` is set and the library is there (``pip install 'modeldeck[sentry]'``). What is sent is made
of the report's own words, which hold nothing that a provider wrote and no credential: none of the library's
integrations is switched on, so neither local variables, nor arguments, nor logs, nor the environment can go along.
"""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import timedelta

from console.sync.types import SyncReport

_log = logging.getLogger(__name__)

DSN = "SENTRY_DSN"
_FLUSH_SECONDS = 2.0


async def tell(report: SyncReport, *, via: str) -> bool:
    """Send what came of a run; False where Sentry is not set up. Waits 2 s at most, and fails no sync.

    Args:
        via: what asked for it, for the tag ``sync_type``: ``schedule``, ``operator``
    """
    if not os.environ.get(DSN, "").strip():
        return False
    try:
        return await asyncio.to_thread(_send, report, via)
    except ImportError:
        _log.warning("%s is set and the library is missing: pip install 'modeldeck[sentry]'", DSN)
    except Exception as problem:
        # Not its text: a DSN that cannot be read is repeated in it.
        _log.warning("Sentry was not told of run %s: %s", report.run_id, type(problem).__name__)
    return False


def _send(report: SyncReport, via: str) -> bool:
    import sentry_sdk

    if not sentry_sdk.get_client().is_active():
        sentry_sdk.init(
            dsn=os.environ[DSN].strip(),
            default_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            traces_sample_rate=1.0,  # a run is a handful of spans, and there are some hundred a day
        )
    transaction = sentry_sdk.start_transaction(op="sync", name="model sync", start_timestamp=report.started_at)
    transaction.set_tag("sync_type", via)
    for found in report.providers:
        ended = report.started_at + timedelta(milliseconds=found.milliseconds)
        span = transaction.start_child(op="sync.provider", name=found.provider, start_timestamp=report.started_at)
        span.set_data("outcome", found.outcome.value)
        span.set_data("fetched", found.counts.fetched)
        span.set_data("body_bytes", found.body_bytes)
        span.finish(end_timestamp=ended)
        if not found.outcome.good:
            with sentry_sdk.new_scope() as scope:
                scope.set_tag("gateway", found.provider)
                scope.set_tag("sync_type", via)
                scope.set_tag("code", found.code or found.outcome.value)
                scope.fingerprint = ["sync", found.provider, found.code or found.outcome.value]
                sentry_sdk.capture_message(f"{found.provider}: {found.sentence}", level="error")
    transaction.finish(end_timestamp=report.finished_at)
    sentry_sdk.flush(timeout=_FLUSH_SECONDS)
    return True
