"""What an operator can do about syncs."""

from __future__ import annotations

import dataclasses

from console.call import Call
from console.outcome import Ending, Outcome
from console.sync import history as record
from console.sync.engine import Syncer
from console.sync.providers import specs
from console.sync.types import Progress, ProviderTarget, Stage


async def run(call: Call) -> Outcome:
    """Sync some providers, or all."""
    services = call.services
    links = services.profile.providers
    targets = [
        ProviderTarget(spec, links[spec.slug].url if spec.slug in links else None) for spec in specs(call["provider"])
    ]

    def tell(progress: Progress) -> None:
        if progress.stage is Stage.FINISHED:
            call.emit(f"{progress.provider}: {progress.outcome}, {progress.records} records")

    syncer = Syncer(await services.store(), credential=lambda spec: services.provider_credential(spec.slug))
    report = await syncer.run(call.permit, targets, dry_run=call["dry_run"], progress=tell)
    outcome = report.outcome()
    data = report.as_json()
    data["rows"] = data["providers"]
    if call["verbose"]:
        for provider in data["providers"]:
            for change in provider["changes"]:
                call.emit(
                    f"{provider['provider']}/{change['model']} {change['kind']} {change['field']}: "
                    f"{change['before']} → {change['after']}"
                )
            for reject in provider["rejected_records"]:
                call.emit(f"{provider['provider']} record {reject['position']} {reject['model']}: {reject['reason']}")
    return dataclasses.replace(outcome, data=data, exits=report.exit_code)


async def status(call: Call) -> Outcome:
    """The last word of each provider."""
    words = await record.last_words(await call.services.store())
    rows = []
    for spec in specs():
        word = words.get(spec.slug)
        rows.append(
            {
                "provider": spec.slug,
                "outcome": word.report.outcome.value if word else "never synced",
                "finished_at": word.finished_at.isoformat(timespec="seconds") if word else None,
                "sentence": word.report.sentence if word else "",
            }
        )
    return Outcome(Ending.DONE, f"{len(rows)} providers", data=rows)


async def history(call: Call) -> Outcome:
    """The newest runs."""
    runs = await record.runs(await call.services.store(), limit=call["limit"])
    rows = [
        {
            "id": run.id,
            "state": run.state.value,
            "actor": run.actor,
            "via": run.via,
            "asked": list(run.asked),
            "started_at": run.started_at.isoformat(timespec="seconds"),
            "finished_at": run.finished_at.isoformat(timespec="seconds") if run.finished_at else None,
            "summary": run.summary,
        }
        for run in runs
    ]
    return Outcome(Ending.DONE, f"{len(rows)} runs", data=rows)
