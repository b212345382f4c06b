"""Actions on keys."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_KEY = Parameter("key", "id or name of the key", positional=True, required=True)
_HANDLERS = "console.keys.handlers"

ACTIONS = (
    Action(
        "keys.create",
        "Issue a key",
        f"{_HANDLERS}:create",
        (
            Parameter("name", "what the key is called", positional=True, required=True),
            Parameter("tenant", "tenant that the key belongs to", required=True),
            Parameter(
                "kind",
                "client keys get every published model, admin keys only their own",
                Kind.CHOICE,
                default="client",
                choices=("client", "admin"),
            ),
            Parameter("model", "a published model of the tenant, as the key's own", many=True),
            Parameter("owner", "who uses it"),
            Parameter("expires", "how long it works: 90d, 12h", Kind.DURATION),
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="name",
        details="The key is shown this once. Nothing keeps its text: only its digest is stored.",
    ),
    Action(
        "keys.list",
        "List keys",
        f"{_HANDLERS}:listing",
        (
            Parameter("tenant", "only this tenant's"),
            Parameter("all", "revoked ones too", Kind.FLAG, default=False),
        ),
        columns=(
            Column("KEY", "id"),
            Column("NAME", "name"),
            Column("TENANT", "tenant"),
            Column("OWNER", "owner"),
            Column("KIND", "kind"),
            Column("MODELS", "model_count", right=True),
            Column("LAST USED", "last_used"),
            Column("EXPIRES", "expires_at"),
            Column("GRACE LEFT s", "grace_left", right=True),
            Column("STATE", "state"),
        ),
    ),
    Action("keys.show", "Show a key", f"{_HANDLERS}:show", (_KEY,), target="key"),
    Action(
        "keys.rotate",
        "Rotate a key",
        f"{_HANDLERS}:rotate",
        (_KEY, Parameter("grace", "how long the old text works on", Kind.DURATION, default=900)),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="key",
        details="Both texts work until the grace ends; the new one is shown this once.",
    ),
    Action(
        "keys.finish",
        "End a rotation's grace now",
        f"{_HANDLERS}:finish",
        (_KEY,),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        target="key",
    ),
    Action(
        "keys.revoke",
        "Revoke a key",
        f"{_HANDLERS}:revoke",
        (_KEY,),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        target="key",
        details="Every text of the key stops working at once. This cannot be undone.",
    ),
)
