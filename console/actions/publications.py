"""Actions on publications as a whole: documentation, declaration, several at once."""

from console.actions.publishing import ACCESS, HOSTNAME, LIMITS, MANIFESTS, TAKE_OVER
from console.actions.registry import Action, Column, Kind, Parameter
from console.guard import Danger, Role

_BULK = "console.publishing.bulk"
_NAME = Parameter("name", "its public name", positional=True, required=True)
_PLAN = Parameter("plan", "show what would change, and change nothing", Kind.FLAG, default=False)
_STOP = Parameter("stop", "end at the first that fails", Kind.FLAG, default=False)
_UNDO = Parameter(
    "undo_on_failure", "end at the first that fails, and take back what this run has done", Kind.FLAG, default=False
)

ACTIONS = (
    Action(
        "publications.docs",
        "Show how to call a publication",
        "console.publishing.documentation:docs",
        (
            _NAME,
            Parameter("unchecked", "do not send the examples' request first", Kind.FLAG, default=False),
        ),
        target="name",
        details="In Markdown: URL, headers, limits, errors, examples. Their request is sent before they are shown.",
    ),
    Action(
        "publications.export",
        "Export a publication",
        "console.publishing.export:export",
        (
            _NAME,
            Parameter("declaration", "as the file that publications apply takes", Kind.FLAG, default=False),
        ),
        target="name",
        details="As manifests in YAML, without the credential.",
    ),
    Action(
        "publications.drift",
        "Show what is otherwise than published",
        "console.publishing.drift:listing",
        (Parameter("name", "only this one", positional=True),),
        target="name",
        columns=(
            Column("MODEL", "name"),
            Column("OBJECT", "object"),
            Column("FIELD", "field"),
            Column("SHOULD BE", "wanted"),
            Column("IS", "found"),
            Column("BY", "by"),
            Column("AT", "at"),
        ),
        details="Field by field, with who changed it, and objects that no publication has any more.",
    ),
    Action(
        "publications.repair",
        "Repair publications",
        f"{_BULK}:repair",
        (
            Parameter("name", "which", positional=True, many=True),
            Parameter("all", "every publication that is otherwise than published", Kind.FLAG, default=False),
            _PLAN,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="name",
        details="What was changed by hand becomes what the publication says, whoever has changed it.",
    ),
    Action(
        "publications.adopt",
        "Adopt what was changed by hand",
        "console.publishing.repair:adopt",
        (_NAME, _PLAN),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        target="name",
        details="Limits and timeouts become the publication's own. What cannot be adopted is named, and left.",
    ),
    Action(
        "publications.leftovers",
        "List what belongs to no publication",
        "console.publishing.leftovers:listing",
        (),
        columns=(
            Column("OBJECT", "object"),
            Column("MODEL", "model"),
            Column("BY", "by"),
            Column("AT", "at"),
            Column("OURS", "ours"),
        ),
        details="Objects and entries with our label that no publication asks for.",
    ),
    Action(
        "publications.prune",
        "Remove what belongs to no publication",
        "console.publishing.leftovers:prune",
        (
            Parameter("object", "only these, as leftovers lists them", positional=True, many=True),
            _PLAN,
        ),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        details="What this Modeldeck made. What another one may have made is removed only where it is named.",
    ),
    Action(
        "publications.apply",
        "Publish what a file declares",
        f"{_BULK}:apply",
        (
            Parameter("file", "the declaration, in YAML", Kind.DOCUMENT, positional=True, required=True),
            TAKE_OVER,
            _PLAN,
            MANIFESTS,
            _STOP,
            _UNDO,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="What is so already is left as it is. Nothing is unpublished because it is not in the file.",
    ),
    Action(
        "publications.publish",
        "Publish several models",
        f"{_BULK}:publish_many",
        (
            Parameter("model", "as publish takes it", positional=True, required=True, many=True),
            Parameter("tenant", "tenant that publishes them"),
            *LIMITS,
            Parameter("timeout", "the longest a request may take", Kind.DURATION, default=300),
            HOSTNAME,
            ACCESS,
            TAKE_OVER,
            _PLAN,
            _STOP,
            _UNDO,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="Each under the last part of its name. Run again, it goes on with what is not done.",
    ),
    Action(
        "publications.update",
        "Change several publications",
        f"{_BULK}:update_many",
        (
            Parameter("name", "their public names", positional=True, required=True, many=True),
            *LIMITS,
            Parameter("timeout", "the longest a request may take", Kind.DURATION),
            Parameter("no", "lift a limit, or hostname: rpm, tpd, retries, …", many=True),
            HOSTNAME,
            ACCESS,
            TAKE_OVER,
            _PLAN,
            _STOP,
            _UNDO,
        ),
        role=Role.PUBLISHER,
        danger=Danger.WRITE,
        details="The same limits, timeouts or hostnames for all of them; each keeps what is not named.",
    ),
    Action(
        "publications.undo",
        "Take back what a run of several has done",
        "console.publishing.runs:undo",
        (
            Parameter("run", "its id, which its end names", positional=True, required=True),
            TAKE_OVER,
            _PLAN,
        ),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        target="run",
        details="What it published is unpublished, what it changed is as before. What was changed since stays.",
    ),
    Action(
        "publications.unpublish",
        "Unpublish several models",
        f"{_BULK}:unpublish_many",
        (
            Parameter("name", "their public names", positional=True, required=True, many=True),
            _PLAN,
            _STOP,
        ),
        role=Role.PUBLISHER,
        danger=Danger.DESTRUCTIVE,
        details="Clients get 404 from then on.",
    ),
)
