"""Actions on the syncs that keep the catalog true."""

from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_SYNC = "console.sync.handlers"
_PROVIDERS = Parameter("provider", "only these; all by default", positional=True, many=True)
_HELD = Parameter("held", "numbers of held changes", positional=True, required=True, many=True)

ACTIONS = (
    Action(
        "sync.run",
        "Sync the catalog with its providers",
        f"{_SYNC}:run",
        (
            _PROVIDERS,
            Parameter("providers", "the same as an option", many=True),
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
        "sync.diff",
        "Show what the lists say otherwise than the catalog",
        f"{_SYNC}:diff",
        (_PROVIDERS, Parameter("run", "what this run changed instead", Kind.INTEGER, minimum=1)),
        role=Role.PUBLISHER,
        columns=(
            Column("PROVIDER", "provider"),
            Column("MODEL", "model"),
            Column("CHANGE", "kind"),
            Column("FIELD", "field"),
            Column("WAS", "was"),
            Column("IS", "is"),
        ),
        details="Asks the providers, and writes nothing.",
    ),
    Action(
        "sync.status",
        "Show how each provider's last sync went",
        f"{_SYNC}:status",
        columns=(
            Column("PROVIDER", "provider"),
            Column("OUTCOME", "outcome"),
            Column("LAST", "finished_at"),
            Column("IN ORDER", "good_at"),
            Column("WHAT HAPPENED", "sentence"),
        ),
    ),
    Action(
        "sync.providers",
        "List the providers that can be synced",
        f"{_SYNC}:providers",
        columns=(
            Column("PROVIDER", "provider"),
            Column("NAME", "name"),
            Column("EVERY min", "minutes", right=True),
            Column("MODELS", "models", right=True),
            Column("LISTED", "listed_at"),
            Column("CREDENTIAL", "credential"),
        ),
    ),
    Action(
        "sync.check",
        "Check credentials, without a sync",
        f"{_SYNC}:check",
        (_PROVIDERS,),
        role=Role.PUBLISHER,
        columns=(
            Column("PROVIDER", "provider"),
            Column("ANSWER", "outcome"),
            Column("CREDENTIAL", "credential"),
            Column("WHAT IT SAYS", "sentence"),
        ),
        details="Each provider is asked once; nothing is written and no list is read. Exits with 1 where one refuses.",
    ),
    Action(
        "sync.history",
        "List sync runs, or what changed",
        f"{_SYNC}:history",
        (
            Parameter("provider", "what changed at this provider"),
            Parameter("model", "what changed of this model"),
            Parameter("field", "what changed in this field: price.input, context_tokens"),
            Parameter("run", "what this run wrote", Kind.INTEGER, minimum=1),
            Parameter("since", "what changed within this time: 7d, 12h", Kind.DURATION),
            Parameter("limit", "how many, newest first", Kind.INTEGER, default=20, minimum=1),
        ),
        columns=(
            Column("RUN", "run", right=True),
            Column("AT", "at"),
            Column("ACTOR", "actor"),
            Column("WHAT", "what"),
            Column("DETAIL", "detail"),
        ),
        details="Without a filter: the runs. With one: field by field, what was and what is.",
    ),
    Action(
        "sync.held",
        "List changes that wait for a decision",
        f"{_SYNC}:held",
        (Parameter("provider", "only of this provider"),),
        columns=(
            Column("HELD", "id", right=True),
            Column("PROVIDER", "provider"),
            Column("MODEL", "model"),
            Column("FIELD", "field"),
            Column("WAS", "before"),
            Column("PROPOSED", "proposed"),
            Column("WHY", "reason"),
        ),
    ),
    Action(
        "sync.accept",
        "Let held changes through",
        f"{_SYNC}:accept",
        (_HELD,),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="All of them or none. A price is written at once; a shorter list is taken over by the next sync.",
    ),
    Action(
        "sync.refuse",
        "Keep the catalog as it is, against held changes",
        f"{_SYNC}:refuse",
        (_HELD,),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="The same proposal is not brought up again.",
    ),
)
