"""Actions on publications."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_HANDLERS = "console.publishing.handlers"
LIMITS = (
    Parameter("rpm", "requests per minute for each key", Kind.INTEGER, minimum=1),
    Parameter("rph", "requests per hour for each key", Kind.INTEGER, minimum=1),
    Parameter("rpd", "requests per day for each key", Kind.INTEGER, minimum=1),
    Parameter("tph", "tokens per hour for each key; needs a global limiter", Kind.INTEGER, minimum=1),
    Parameter("tpd", "tokens per day for each key; needs a global limiter", Kind.INTEGER, minimum=1),
    Parameter("burst", "requests per second for each key", Kind.INTEGER, minimum=1),
    Parameter("tenant_rpm", "requests per minute for all keys of a tenant", Kind.INTEGER, minimum=1),
    Parameter("model_rpm", "requests per minute for everybody together", Kind.INTEGER, minimum=1),
    Parameter("retries", "other tries of a request that failed", Kind.INTEGER, minimum=0),
    Parameter("retry_on", "after what: 503, connect-failure, …", many=True),
    Parameter("max_connections", "connections to each backend", Kind.INTEGER, minimum=1),
    Parameter("max_pending", "requests that may wait for a connection", Kind.INTEGER, minimum=1),
    Parameter("max_parallel", "requests under way at once at each backend", Kind.INTEGER, minimum=1),
    Parameter("connect_timeout", "the longest that connecting to a backend may take", Kind.DURATION),
    Parameter("idle_timeout", "the longest silence within an answer", Kind.DURATION),
)
HOSTNAME = Parameter("hostname", "public hostname; by default any that the Gateway has", many=True)
ACCESS = Parameter(
    "access",
    "who checks keys: the authorizer (ext_authz) or the gateway itself (native), by default the gateway where it can",
    Kind.CHOICE,
    choices=("ext_authz", "native"),
)
_ALSO = Parameter("also", "another backend, BACKEND or BACKEND=WEIGHT", many=True)
_FALLBACK = Parameter("fallback", "a backend for when the others are out of order", many=True)
TAKE_OVER = Parameter("take_over", "take over fields that another manager has changed", Kind.FLAG, default=False)
_PLAN = Parameter("plan", "show what would change, and change nothing", Kind.FLAG, default=False)
MANIFESTS = Parameter("manifests", "with --plan: as manifests in YAML", Kind.FLAG, default=False)

ACTIONS = (
    Action(
        "publish",
        "Publish a model",
        "console.publishing.from_file:publish",
        (
            Parameter(
                "model",
                "PROVIDER/MODEL-ID, isvc/NAMESPACE/NAME or llmisvc/NAMESPACE/NAME",
                positional=True,
            ),
            Parameter("file", "instead of a model: a declaration, in YAML", Kind.DOCUMENT, short="f"),
            Parameter("name", "public name; by default the last part of the model's"),
            Parameter("tenant", "tenant that publishes it"),
            Parameter(
                "type",
                "how clients call it; auto goes by what it is",
                Kind.CHOICE,
                default="auto",
                choices=("auto", "openai", "traditional"),
            ),
            *LIMITS,
            Parameter("timeout", "the longest a request may take", Kind.DURATION, default=300),
            HOSTNAME,
            ACCESS,
            Parameter("weight", "its share beside those of --also", Kind.INTEGER, minimum=0),
            _ALSO,
            _FALLBACK,
            TAKE_OVER,
            _PLAN,
            MANIFESTS,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
        details="Applied step by step, proven by a request, and undone where a step fails. With a file it is "
        "publications apply.",
    ),
    Action(
        "published",
        "List publications",
        "console.publishing.showing:published",
        (
            Parameter("name", "only this one", positional=True),
            Parameter("tenant", "only this tenant's"),
        ),
        columns=(
            Column("MODEL", "name", priority=9),
            Column("TENANT", "tenant", priority=6),
            Column("KIND", "kind", priority=3),
            Column("SOURCE", "source"),
            Column("REQUESTS", "requests", right=True, priority=5),
            Column("STATE", "status", priority=8),
            Column("URL", "url", priority=4),
            Column("REASON", "reason", priority=7),
        ),
    ),
    Action(
        "update",
        "Change a publication",
        f"{_HANDLERS}:update",
        (
            Parameter("name", "its public name", positional=True, required=True),
            *LIMITS,
            Parameter("no_rpm", "lift the requests-per-minute limit", Kind.FLAG, default=False),
            Parameter("timeout", "the longest a request may take", Kind.DURATION),
            Parameter("no", "lift a limit, or hostname: rpm, tpd, retries, …", many=True),
            HOSTNAME,
            ACCESS,
            _ALSO,
            _FALLBACK,
            Parameter("drop", "a backend to take out", many=True),
            TAKE_OVER,
            _PLAN,
            MANIFESTS,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="name",
        details="In place: what is served goes on being served. Undone where a step fails.",
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
        "gateway.buffer",
        "Set how large a request may be",
        "console.publishing.gateway_buffer:set_buffer",
        (
            Parameter("size", "the largest request: 512Ki, 8Mi", positional=True, required=True),
            TAKE_OVER,
            _PLAN,
        ),
        role=Role.ADMIN,
        danger=Danger.WRITE,
        details="For every publication of the Gateway: what is larger is answered 413.",
    ),
    Action(
        "tenants.list",
        "List tenants",
        "console.publishing.tenants:listing",
        columns=(
            Column("TENANT", "name", priority=9),
            Column("PUBLISHED", "publications", right=True, priority=6),
            Column("KEYS", "keys_used", right=True, priority=6),
            Column("MAX RPM", "max_rpm", right=True),
            Column("SINCE", "created_at"),
            Column("STATE", "state", priority=8),
            Column("PROBLEM", "problem", priority=7),
        ),
        details="A tenant is a namespace with the label modeldeck.dev/tenant.",
    ),
)
