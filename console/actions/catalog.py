"""Actions on the catalog, and on the syncs that keep it true."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_SYNC = "console.sync.handlers"
_MODELS = "console.catalog.handlers"
_MODEL = Parameter(
    "model", "provider/model-id, or a model id that only one provider has", positional=True, required=True
)

ACTIONS = (
    Action(
        "models.search",
        "Search the catalog",
        f"{_MODELS}:search",
        (
            Parameter("query", "provider:groq ctx>=128k in<0.5 vision free -preview llama", positional=True),
            Parameter(
                "sort",
                "what to sort by",
                Kind.CHOICE,
                default="name",
                choices=("name", "provider", "context", "input", "output", "changed"),
            ),
            Parameter("descending", "the largest or last first", Kind.FLAG, default=False),
            Parameter("limit", "models a page", Kind.INTEGER, default=50, minimum=1),
            Parameter("offset", "models to skip", Kind.INTEGER, default=0, minimum=0),
        ),
        columns=(
            Column("MODEL", "id"),
            Column("KIND", "kind"),
            Column("CONTEXT", "context", right=True),
            Column("IN $/M", "input", right=True),
            Column("OUT $/M", "output", right=True),
            Column("PRICE", "price_state"),
        ),
        details="Prices are USD per million tokens; an empty one is not known, which is not the same as free.",
    ),
    Action("models.show", "Show a model", f"{_MODELS}:show", (_MODEL,), target="model"),
    Action(
        "models.compare",
        "Compare a model across providers",
        f"{_MODELS}:compare",
        (_MODEL,),
        target="model",
        columns=(
            Column("PROVIDER", "provider"),
            Column("MODEL", "id"),
            Column("CONTEXT", "context", right=True),
            Column("IN $/M", "input", right=True),
            Column("OUT $/M", "output", right=True),
            Column("PRICE", "price_state"),
        ),
    ),
    Action(
        "sync.run",
        "Sync the catalog with its providers",
        f"{_SYNC}:run",
        (
            Parameter("provider", "only these; all by default", positional=True, many=True),
            Parameter("dry_run", "fetch and compare, write nothing at all", Kind.FLAG, default=False),
            Parameter("verbose", "say what changed and what was left out, and why", Kind.FLAG, default=False),
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        columns=(
            Column("PROVIDER", "provider"),
            Column("OUTCOME", "outcome"),
            Column("FETCHED", "fetched", right=True),
            Column("NORMALISED", "normalised", right=True),
            Column("REJECTED", "rejected", right=True),
            Column("WRITTEN", "written", right=True),
            Column("UNCHANGED", "unchanged", right=True),
            Column("MISSING", "missing", right=True),
            Column("WHAT HAPPENED", "sentence"),
        ),
        details="Exits with 0 when every provider is in order, else with 1.",
    ),
    Action(
        "sync.status",
        "Show how each provider's last sync went",
        f"{_SYNC}:status",
        columns=(
            Column("PROVIDER", "provider"),
            Column("OUTCOME", "outcome"),
            Column("LAST", "finished_at"),
            Column("WHAT HAPPENED", "sentence"),
        ),
    ),
    Action(
        "sync.history",
        "List sync runs",
        f"{_SYNC}:history",
        (Parameter("limit", "how many, newest first", Kind.INTEGER, default=20, minimum=1),),
        columns=(
            Column("RUN", "id", right=True),
            Column("STATE", "state"),
            Column("ACTOR", "actor"),
            Column("BEGAN", "started_at"),
            Column("SUMMARY", "summary"),
        ),
    ),
)
