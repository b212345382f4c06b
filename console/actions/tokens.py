"""Actions on the tokens of the HTTP API."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

ACTIONS = (
    Action(
        "tokens.create",
        "Make an API token",
        "console.tokens:create",
        (
            Parameter("name", "who uses it: the name in the audit", positional=True, required=True),
            Parameter(
                "role", "what it may do", Kind.CHOICE, default="viewer", choices=("viewer", "publisher", "admin")
            ),
            Parameter("tenant", "only for this tenant", many=True),
            Parameter("expires", "how long it works: 90d, 12h", Kind.DURATION, minimum=1),
        ),
        role=Role.ADMIN,
        danger=Danger.WRITE,
        target="name",
        details="The token is shown this once; only its digest is stored.",
    ),
    Action(
        "tokens.list",
        "List API tokens",
        "console.tokens:listing",
        role=Role.ADMIN,
        columns=(
            Column("TOKEN", "id", priority=9),
            Column("NAME", "name", priority=8),
            Column("ROLE", "role"),
            Column("TENANTS", "tenants"),
            Column("EXPIRES", "expires_at"),
            Column("STATE", "state", priority=8),
        ),
    ),
    Action(
        "tokens.revoke",
        "Revoke an API token",
        "console.tokens:revoke",
        (Parameter("token", "its id", positional=True, required=True),),
        role=Role.ADMIN,
        danger=Danger.DESTRUCTIVE,
        target="token",
    ),
)
