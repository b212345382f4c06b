"""Actions on the catalog."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_MODELS = "console.catalog.handlers"
_DECISIONS = "console.catalog.decisions"
_CACHES = ("models", "model-detail", "rankings", "search", "all")
_MODEL = Parameter(
    "model", "provider/model-id, or a model id that only one provider has", positional=True, required=True
)
# As console/catalog/types.py (PriceKind) has them, which takes too long to load here.
_PRICE_KINDS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "image",
    "request",
    "web_search",
    "audio_input",
    "media_input",
    "media_output",
    "characters",
    "compute",
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
        "models.export",
        "Export the catalog",
        "console.catalog.export:export",
        (
            Parameter("query", "only what this finds: provider:groq vision", positional=True),
            Parameter("format", "of the document", Kind.CHOICE, default="csv", choices=("csv", "json", "jsonl")),
        ),
        details="The document goes to standard output. Prices in CSV are USD per million tokens.",
    ),
    Action(
        "cache.invalidate",
        "Void caches of the catalog",
        f"{_MODELS}:invalidate",
        (
            Parameter("kind", "of cache", Kind.CHOICE, default=_CACHES[0], choices=_CACHES),
            Parameter("gateway", "with models: only this provider's"),
            Parameter("model", "with model-detail: provider/model-id"),
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="A sync does this by itself, for just what changed, and says where it could not.",
    ),
    Action(
        "models.hide",
        "Hide a model",
        f"{_DECISIONS}:hide",
        (_MODEL, Parameter("undo", "show it again", Kind.FLAG, default=False)),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
        details="It is left out of every list that does not ask for hidden ones. No sync undoes it.",
    ),
    Action(
        "models.pin",
        "Keep a model that its provider no longer lists",
        f"{_DECISIONS}:pin",
        (_MODEL, Parameter("undo", "no longer keep it", Kind.FLAG, default=False)),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
        details="A pinned model is never retired, however many lists miss it.",
    ),
    Action(
        "models.price",
        "Put a price of our own in the provider's place",
        f"{_DECISIONS}:price",
        (
            _MODEL,
            Parameter("amount", "USD per 1M tokens, or per image, request, second: as it counts", positional=True),
            Parameter(
                "kind",
                "which price",
                Kind.CHOICE,
                default="input",
                choices=_PRICE_KINDS,
            ),
            Parameter("undo", "give the provider's price back", Kind.FLAG, default=False),
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
        details="An amount of 0 says that it is free. No sync undoes it.",
    ),
    Action(
        "models.note",
        "Write a note beside a model",
        f"{_DECISIONS}:note",
        (_MODEL, Parameter("text", "without it the note is taken away", positional=True)),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="model",
    ),
)
