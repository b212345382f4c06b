"""Actions on usage."""

from console.actions.publishing import LIMITS
from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_BUDGETS = "console.usage.budget_handlers"
_COUNTED = tuple(one for one in LIMITS if one.name.endswith(("rpm", "rph", "rpd", "tph", "tpd", "burst")))
"""The limits that count requests or tokens; the rest is about backends."""
_TARGET = Parameter("target", "whose: key:NAME or tenant:NAME", positional=True, required=True)

ACTIONS = (
    Action(
        "usage",
        "Show who used what",
        "console.usage.handlers:report",
        (
            Parameter(
                "by",
                "a line for each of these; reason: why the gateway refused requests",
                Kind.CHOICE,
                default="model",
                choices=("model", "tenant", "key", "time", "reason"),
            ),
            Parameter("since", "how far back: 1h, 24h, 30d", Kind.DURATION, default=86_400, minimum=1),
            Parameter(
                "per",
                "sum up minutes, hours or days; by default what fits",
                Kind.CHOICE,
                choices=("minute", "hour", "day"),
            ),
            Parameter("tenant", "only this tenant's"),
            Parameter("model", "only of this published model"),
            Parameter("key", "only with the key of this id"),
            Parameter("format", "of the report", Kind.CHOICE, default="table", choices=("table", "csv")),
        ),
        columns=(
            Column("WHAT", "label", priority=9),
            Column("REQUESTS", "requests", right=True, priority=8),
            Column("4XX", "refused", right=True, priority=5),
            Column("5XX", "failed", right=True, priority=5),
            Column("ABORTED", "aborted", right=True, priority=2),
            Column("TOKENS IN", "input_tokens", right=True, priority=6),
            Column("OUT", "output_tokens", right=True, priority=6),
            Column("UNMETERED", "unmetered", right=True, priority=3),
            Column("COST", "cost", right=True, priority=7),
            Column("P50 ms", "p50_ms", right=True),
            Column("P95 ms", "p95_ms", right=True, priority=4),
        ),
        details="Minutes are kept for 48 h, hours for 90 days, days for 2 years. Times are UTC.",
    ),
    Action(
        "budgets.list",
        "Show budgets and what is left of them",
        f"{_BUDGETS}:listing",
        (Parameter("tenant", "only this tenant's, and its keys'"),),
        columns=(
            Column("OF", "called", priority=9),
            Column("BUDGET", "budget", priority=8),
            Column("SPENT $", "spent_usd", right=True, priority=5),
            Column("TOKENS", "spent_tokens", right=True, priority=4),
            Column("USED %", "percent", right=True, priority=7),
            Column("STATE", "state", priority=8),
            Column("UNDER WAY", "under_way", right=True),
            Column("BEGINS ANEW", "renews_at", priority=3),
        ),
    ),
    Action(
        "budgets.set",
        "Set what a key or a tenant may spend",
        f"{_BUDGETS}:put",
        (
            _TARGET,
            Parameter("usd", "in money: 25 or 0.50"),
            Parameter("tokens", "in tokens, in and out together", Kind.INTEGER, minimum=1, maximum=10**15),
            Parameter(
                "per", "when it begins anew, in UTC", Kind.CHOICE, default="month", choices=("day", "month", "total")
            ),
        ),
        role=Role.ADMIN,
        danger=Danger.WRITE,
        target="target",
        tenant_of=f"{_BUDGETS}:tenant_of",
        details="Once it is used up, requests get 402. Somebody is told at 80 and at 100 %.",
    ),
    Action(
        "budgets.remove",
        "Remove a budget",
        f"{_BUDGETS}:remove",
        (_TARGET,),
        role=Role.ADMIN,
        danger=Danger.WRITE,
        target="target",
        tenant_of=f"{_BUDGETS}:tenant_of",
    ),
    Action(
        "limits.show",
        "Show which limits count, and what is left of them",
        "console.usage.limits:show",
        (
            Parameter("key", "id or name of the key that calls"),
            Parameter("model", "the published model that is called; without it, all that the key may call"),
        ),
        columns=(
            Column("MODEL", "shown", priority=9),
            Column("FOR", "whose", priority=5),
            Column("LIMIT", "sentence", priority=8),
            Column("COUNTED BY", "counted_by"),
            Column("USED", "used", right=True, priority=4),
            Column("LEFT", "left", right=True, priority=6),
            Column("USED %", "percent", right=True, priority=7),
            Column("WINDOW ENDS", "window_ends_at", priority=2),
            Column("NOW", "says", priority=7),
        ),
        details="Budgets too. Says which of them would refuse a request now: 429, or 402 for a budget.",
    ),
    Action(
        "replay",
        "Decide a log again as if something were otherwise",
        "console.usage.replaying:replay",
        (
            Parameter("unpublish", "as if this public name were gone", many=True),
            Parameter("revoke", "as if this key, by id or name, were revoked", many=True),
            Parameter("suspend", "as if this tenant were suspended", many=True),
            Parameter("file", "as if this declaration were published", Kind.DOCUMENT),
            Parameter("model", "the limits below are this publication's; all of them without it", many=True),
            *_COUNTED,
            Parameter("no", "lift a limit: rpm, tpd, …", many=True),
            Parameter("log", "an access log, .gz too; by default the local gateway's", Kind.FILE, many=True),
            Parameter("since", "how far back", Kind.DURATION, default=7 * 86_400, minimum=1),
            Parameter("tenant", "only requests of this tenant's keys"),
        ),
        columns=(
            Column("KEY", "label", priority=9),
            Column("TENANT", "tenant"),
            Column("MODEL", "model"),
            Column("WOULD", "would", priority=8),
            Column("REQUESTS", "requests", right=True, priority=8),
            Column("OF", "of", right=True),
            Column("FIRST AT", "first"),
        ),
        details="Only what would come out differently is shown. Nothing is changed.",
    ),
)
