"""Access: who may call what, rule by rule; what the gateway's workers know, and what they refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from console.access.forms import MISTYPED, is_key_text, is_whole, mistyped
from console.access.types import digest_of
from screens.details import Details, Fact, Line, Title
from screens.frame import DeckScreen
from screens.split import Split
from widgets.field_specs import FieldKind, FieldSpec
from widgets.form import Form
from widgets.latest import Latest
from widgets.theme import State

VERDICTS = {
    "passed": State.DONE,
    "refused": State.REFUSED,
    "without effect": State.OFF,
    "not asked": State.WAITING,
}
_READ_AGAIN_SECONDS = 5


class AccessScreen(DeckScreen):
    """A form that asks, and beside it the rules as they would decide now. A key that is pasted is digested here."""

    VIEW = "access"
    AUTO_FOCUS = None
    PREFIXES = frozenset({"api_key", "published_model_info"})
    ACTIONS = ("keys.", "tenants.", "publish", "unpublish")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "clear", "new question", id="access.clear"),
        Binding("ctrl+y", "copy_command", "copy command", show=False, id="access.copy_command"),
        Binding("escape", "leave", "back", id="access.leave", show=False),
    ]
    DEFAULT_CSS = """
    AccessScreen .split--list { width: 2fr; }
    AccessScreen .split--details { width: 3fr; }
    AccessScreen #form-side { height: 1fr; }
    AccessScreen #workers { height: auto; max-height: 50%; border-top: solid $foreground 30%; }
    AccessScreen.-narrow .split--list { height: 9; }
    AccessScreen.-narrow .split--details { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._ticks = 0
        self._asked: Latest[dict[str, str]] = Latest(self._explain)

    def body(self) -> Iterable[Widget]:
        form = Form(
            [
                FieldSpec("key", "key", help="its id or digest, or paste it: only its digest leaves this field"),
                FieldSpec("model", "model", help="empty: the list of models"),
                FieldSpec("client", "client", help="the client's address"),
                FieldSpec("as", "as", FieldKind.CHOICE, default="modeldeck", choices=("modeldeck", "budgateway")),
            ],
            id="main",
        )
        yield Split(Vertical(form, id="form-side"), Vertical(Details(id="verdict"), Details(id="workers")))

    @property
    def form(self) -> Form:
        return self.query_one(Form)

    def on_mount(self) -> None:
        self.form.focus()
        self.query_one("#verdict", Details).show([Line(("name a key: every rule is shown with its verdict", "muted"))])

    async def load(self) -> None:
        if (wanted := self.take_wanted()) is not None:
            self.form.set_value("key", wanted)
        outcome = await self.bridge.ask("access.status")
        workers = self.query_one("#workers", Details)
        workers.show(_status(outcome.data) if isinstance(outcome.data, Mapping) else [Line((outcome.summary, "bad"))])
        self._wish()

    def tick(self) -> None:
        self._ticks += 1
        if self._ticks % _READ_AGAIN_SECONDS == 0:
            self.stale()

    def on_form_changed(self, event: Form.Changed) -> None:
        event.stop()
        self._wish()

    def on_form_submitted(self, event: Form.Submitted) -> None:
        event.stop()
        self._wish()

    def _wish(self) -> None:
        values = {name: str(value) for name, value in self.form.given.items()}
        if values.get("key"):
            self._asked.wish(values)

    async def _explain(self, values: dict[str, str]) -> None:
        given: dict[str, Any] = {name: value for name, value in values.items() if value and name != "as"}
        if values.get("as") == "budgateway":
            given["as"] = "budgateway"
        profile = self.bridge.profile
        if mistyped(given["key"]):
            if is_whole(given["key"]):  # most of it is right: it does not stay on the screen
                self.form.set_value("key", "")
            self.query_one("#verdict", Details).show([Fact(State.REFUSED.glyph, f"that key is {MISTYPED}", "bad")])
            return
        if profile is not None and is_key_text(given["key"]):
            # Only its digest goes on; whether it is a client's key is all else that counts.
            given["key"] = digest_of(given["key"], profile.access.salt)
            self.form.set_value("key", given["key"])
        outcome = await self.bridge.ask("access.explain", given)
        shown = self.query_one("#verdict", Details)
        if not isinstance(outcome.data, Mapping):
            shown.show([Fact(State.REFUSED.glyph, outcome.summary, "bad"), Fact("next", outcome.then, "muted")])
            return
        shown.show(_verdict(outcome.summary, outcome.data))

    def action_clear(self) -> None:
        for name in ("key", "model", "client"):
            self.form.set_value(name, "")
        self.form.focus()
        self.query_one("#verdict", Details).show(())

    def action_leave(self) -> None:
        self.deck.open_view("keys")

    def action_copy_command(self) -> None:
        values = dict(self.form.given)
        if values.get("as") == "modeldeck":
            del values["as"]
        self.deck.copy_command("access.explain", values)


def _verdict(summary: str, data: Mapping[str, Any]) -> Iterable[Fact]:
    good = data["status"] == 200
    state = State.READY if good else State.REFUSED
    yield Line((f"{state.glyph} {data['status']}  {summary}", state.paint))
    if not good:
        yield Fact("the client", data["message"])
    yield Line("")
    for row in data["rows"]:
        verdict = VERDICTS.get(row["verdict"], State.UNKNOWN)
        paint = "muted" if row["verdict"] in ("not asked", "without effect") else verdict.paint
        yield Line((f"{verdict.glyph} {row['rule']:<33}", paint), (f"{row['verdict']:<15}", "muted"), row["found"])
    if good and data.get("headers"):
        yield Line("")
        for name, value in data["headers"].items():
            yield Fact("upstream", f"{name}: {value}", "muted")
    for note in data["notes"]:
        yield Line("")
        yield Fact("note", note, "warn")


def _status(data: Mapping[str, Any]) -> Iterable[Fact]:
    yield Title(f"{data['entries']} keys, {data['published']} published, {len(data['rows'])} workers")
    for row in data["rows"]:
        behind = row["epoch"] < data["epoch"]
        state = State.PENDING if behind else State.READY
        how = f"epoch {row['epoch']}, {row['reported']}"
        yield Line((f"{state.glyph} {row['worker']}  ", state.paint), (how, "muted"))
    if not data["rows"]:
        yield Line((f"{State.FAILED.glyph} no worker reports to this Redis", "bad"))
    for fault in data["faults"]:
        yield Fact("fault", f"{fault['where']}: {fault['problem']}", "bad")
    for note in data["notes"]:
        yield Line((note, "muted"))
