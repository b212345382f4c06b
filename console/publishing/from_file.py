"""`publish`: one model that is named, or what a file declares."""

from __future__ import annotations

import dataclasses

from console.call import Call
from console.outcome import Outcome, Refusal
from console.publishing import bulk, handlers
from console.publishing.planned import refuse_without_plan

_BESIDE_A_FILE = ("file", "plan", "manifests", "take_over")
_ONLY_OF_SEVERAL = {"stop": False, "undo_on_failure": False}
_USUAL = {"type": "auto", "timeout": 300}
"""What `publish` takes where nothing was said (console/actions/publishing.py)."""


async def publish(call: Call) -> Outcome:
    """As `handlers.publish`; with ``file`` as `bulk.apply`.

    Raises:
        Refusal: neither a model nor a file is named, or something beside the file that the file decides.
    """
    if call["file"] is None:
        if not call["model"]:
            raise Refusal(
                "publish needs model: PROVIDER/MODEL-ID, isvc/NAMESPACE/NAME or llmisvc/NAMESPACE/NAME, or a --file",
                code="INVALID_PARAMETER",
            )
        return await handlers.publish(call)
    decided = [
        name
        for name, value in call.values.items()
        if name not in _BESIDE_A_FILE and value not in (None, (), _USUAL.get(name))
    ]
    if decided:
        raise Refusal(
            f"the file decides what is published, and {', '.join(decided)} {'was' if len(decided) == 1 else 'were'} "
            "named beside it; nothing was changed",
            code="INVALID_PARAMETER",
            then="write it into the file, or publish the model without --file",
        )
    refuse_without_plan(call)
    return await bulk.apply(dataclasses.replace(call, values={**call.values, **_ONLY_OF_SEVERAL}))
