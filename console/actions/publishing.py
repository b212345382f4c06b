"""Actions on publications."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_HANDLERS = "console.publishing.handlers"
_RPM = Parameter("rpm", "requests per minute for each key", Kind.INTEGER, minimum=1)
_PLAN = Parameter("plan", "show what would change, and change nothing", Kind.FLAG, default=False)

ACTIONS = (
    Action(
        "publish",
        "Publish a model",
        f"{_HANDLERS}:publish",
        (
            Parameter(
                "model", "PROVIDER/MODEL-ID of the catalog, or isvc/NAMESPACE/NAME", positional=True, required=True
            ),
            Parameter("name", "public name; by default the last part of the model's"),
            Parameter("tenant", "tenant that publishes it"),
            Parameter(
                "type",
                "how clients call it; auto goes by what it is",
                Kind.CHOICE,
                default="auto",
                choices=("auto", "openai", "traditional"),
            ),
            _RPM,
            Parameter("timeout", "the longest a request may take", Kind.DURATION, default=300),
            _PLAN,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
        details="Applied step by step, proven by a request, and undone where a step fails.",
    ),
    Action(
        "published",
        "List publications",
        f"{_HANDLERS}:published",
        (
            Parameter("name", "only this one", positional=True),
            Parameter("tenant", "only this tenant's"),
        ),
        columns=(
            Column("MODEL", "name"),
            Column("TENANT", "tenant"),
            Column("KIND", "kind"),
            Column("SOURCE", "source"),
            Column("REQUESTS", "requests", right=True),
            Column("STATE", "state"),
            Column("URL", "url"),
            Column("REASON", "reason"),
        ),
    ),
    Action(
        "update",
        "Change a publication's limits",
        f"{_HANDLERS}:update",
        (
            Parameter("name", "its public name", positional=True, required=True),
            _RPM,
            Parameter("no_rpm", "lift the requests-per-minute limit", Kind.FLAG, default=False),
            Parameter("timeout", "the longest a request may take", Kind.DURATION),
            _PLAN,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="name",
    ),
    Action(
        "unpublish",
        "Unpublish a model",
        f"{_HANDLERS}:unpublish",
        (Parameter("name", "its public name", positional=True, required=True), _PLAN),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        target="name",
        details="The route goes first. Clients get 404 from then on.",
    ),
    Action(
        "tenants.list",
        "List tenants",
        "console.publishing.tenants:listing",
        columns=(
            Column("TENANT", "name"),
            Column("PUBLISHED", "published", right=True),
            Column("SINCE", "created_at"),
        ),
        details="A tenant is a namespace with the label modeldeck.dev/tenant.",
    ),
)
