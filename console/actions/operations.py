"""Actions on the journal and the audit."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_HANDLERS = "console.operations.handlers"

ACTIONS = (
    Action(
        "operations.list",
        "List operations",
        f"{_HANDLERS}:listing",
        (Parameter("limit", "how many, newest first", Kind.INTEGER, default=20, minimum=1),),
        columns=(
            Column("ID", "short_id", priority=9),
            Column("KIND", "kind"),
            Column("TARGET", "target", priority=7),
            Column("ACTOR", "actor", priority=5),
            Column("STATE", "state", priority=8),
            Column("BEGAN", "created_at"),
            Column("SUMMARY", "summary", priority=6),
        ),
    ),
    Action(
        "operations.show",
        "Show an operation with its steps",
        f"{_HANDLERS}:show",
        (Parameter("operation", "its id, or the beginning of it", positional=True, required=True),),
        target="operation",
    ),
    Action(
        "operations.recover",
        "End interrupted operations now",
        f"{_HANDLERS}:recover",
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="Recovery does this by itself within a minute wherever `modeldeck run` runs.",
    ),
    Action(
        "audit",
        "Read the audit",
        f"{_HANDLERS}:read_audit",
        (
            Parameter(
                "what",
                "the rows, or verify: check that no row was changed or removed",
                Kind.CHOICE,
                positional=True,
                default="rows",
                choices=("rows", "verify"),
            ),
            Parameter("limit", "how many, newest first: 50, with --lines all", Kind.INTEGER, minimum=1),
            Parameter("who", "only what this one did: a name, or name@origin"),
            Parameter("action", "only this action, or this group: publish, keys, keys.rotate"),
            Parameter("tenant", "only this tenant's"),
            Parameter("since", "only what was done within this time: 7d, 12h", Kind.DURATION, minimum=1),
            Parameter("match", "only rows that have all of these words"),
            Parameter("lines", "as JSON lines, the oldest first", Kind.FLAG, default=False),
            Parameter("verify", "as verify", Kind.FLAG, default=False),
        ),
        columns=(
            Column("AT", "at", priority=9),
            Column("ACTOR", "actor", priority=5),
            Column("VIA", "via"),
            Column("ACTION", "action", priority=8),
            Column("TARGET", "target", priority=7),
            Column("OUTCOME", "outcome", priority=7),
        ),
    ),
)
