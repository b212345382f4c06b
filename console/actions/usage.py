"""Actions on usage."""

from console.actions.registry import Action, Column, Kind, Parameter

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
            Parameter("since", "how far back: 1h, 24h, 30d", Kind.DURATION, default=86_400),
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
            Column("WHAT", "label"),
            Column("REQUESTS", "requests", right=True),
            Column("4XX", "refused", right=True),
            Column("5XX", "failed", right=True),
            Column("ABORTED", "aborted", right=True),
            Column("TOKENS IN", "input_tokens", right=True),
            Column("OUT", "output_tokens", right=True),
            Column("UNMETERED", "unmetered", right=True),
            Column("COST", "cost", right=True),
            Column("P50 ms", "p50_ms", right=True),
            Column("P95 ms", "p95_ms", right=True),
        ),
        details="Minutes are kept for 48 h, hours for 90 days, days for 2 years. Times are UTC.",
    ),
)
