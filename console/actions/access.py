"""Actions on who may call what."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

ACTIONS = (
    Action(
        "access.explain",
        "Explain a decision",
        "console.usage.explaining:explain",
        (
            Parameter("key", "id or digest of the key, or - to read its text from standard input", required=True),
            Parameter("model", "the model that is asked for; without one, the list of models"),
            Parameter("client", "the client's address"),
            Parameter("path", "the path that is called; by default that of a chat"),
            Parameter("as", "say where another gateway would decide otherwise", Kind.CHOICE, choices=("budgateway",)),
        ),
        target="key",
        columns=(
            Column("RULE", "rule"),
            Column("VERDICT", "verdict"),
            Column("FOUND", "found"),
        ),
        details="The rules that the gateway's workers go by, on what Redis holds now. Nothing is changed.",
    ),
    Action(
        "access.status",
        "Show what the gateway knows",
        "console.access.handlers:status",
        columns=(
            Column("WORKER", "worker"),
            Column("EPOCH", "epoch", right=True),
            Column("KEYS", "entries", right=True),
            Column("REPORTED", "reported"),
        ),
        details="Every worker with the last write that it has applied; faults in Redis; refusals by code.",
    ),
    Action(
        "tenants.suspend",
        "Suspend a tenant",
        "console.access.restricting:suspend",
        (Parameter("tenant", "its name", positional=True, required=True),),
        role=Role.ADMIN,
        danger=Danger.DESTRUCTIVE,
        target="tenant",
        details="Every key of the tenant is refused with 403 until it is resumed.",
    ),
    Action(
        "tenants.resume",
        "Resume a tenant",
        "console.access.restricting:resume",
        (Parameter("tenant", "its name", positional=True, required=True),),
        role=Role.ADMIN,
        danger=Danger.WRITE,
        target="tenant",
    ),
)
