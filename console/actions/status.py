"""Actions that look: health, and what changes while it changes."""

from console.actions.registry import Action, Column, Kind, Parameter

ACTIONS = (
    Action(
        "status",
        "Show the health of every part",
        "console.status:show",
        columns=(
            Column("PART", "part"),
            Column("STATE", "state"),
            Column("DETAIL", "detail"),
        ),
    ),
    Action(
        "overview",
        "Show what needs somebody, and how much there is",
        "console.overview:show",
        details="The same as the console's first screen.",
    ),
    Action(
        "feed",
        "Show what changes in Redis, as it changes",
        "console.access.handlers:feed",
        (
            Parameter("duration", "stop after this long", Kind.DURATION, minimum=1),
            Parameter("count", "stop after so many events", Kind.INTEGER, minimum=1),
            Parameter("match", "only events that contain this text"),
            Parameter("record", "write them to this file too, one JSON object a line", Kind.FILE),
            Parameter("replay", "show what was recorded in this file, in place of what happens", Kind.FILE),
        ),
        streams=True,
        details="Keys appear as digests. Stop with Ctrl-C.",
    ),
)
