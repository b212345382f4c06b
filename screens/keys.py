"""Keys: who has one, what it may do, how it rotates. A key's text is shown once, in a window of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.access.forms import MISTYPED, mistyped
from console.access.types import digest_of
from console.actions import REGISTRY
from console.bridge import Job
from console.keys.types import LOST, TENANT_SUSPENDED
from console.outcome import Refusal
from screens.details import Details, Line
from screens.forms import ask_values
from screens.frame import DeckScreen, begin
from screens.key_details import facts_of, used
from screens.key_search import InClear, KeySearch, Lost
from screens.split import Split
from widgets.meter_text import age, clock
from widgets.secret_line import made_of
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

STATES = {
    "active": State.READY,
    "rotating": State.PENDING,
    LOST: State.DRIFT,
    "suspended": State.OFF,
    TENANT_SUSPENDED: State.OFF,
    "expired": State.REFUSED,
    "revoked": State.REFUSED,
}
COLUMNS = (
    Column("name", "KEY", 12, grow=3, priority=9, sortable=True),
    Column("tenant", "TENANT", 8, grow=1, priority=5, sortable=True),
    Column("owner", "OWNER", 8, grow=1, priority=2, sortable=True),
    Column("kind", "KIND", 6, priority=3, sortable=True),
    Column("models", "MODELS", 6, right=True, priority=4, sortable=True),
    Column("used", "LAST USED", 9, right=True, priority=7, sortable=True),
    Column("expires", "EXPIRES", 8, right=True, priority=6, sortable=True),
    Column("state", "STATE", 22, priority=8, sortable=True),
)

_ROTATING_SECONDS, _QUIET_SECONDS = 5, 60
"""After how long the uses are read again, while a key rotates and otherwise."""


class KeysScreen(DeckScreen):
    """Every key that this operator may see, and the generations of the one under the cursor."""

    VIEW = "keys"
    PREFIXES = frozenset({"api_key"})
    ACTIONS = ("keys.", "tenants.")
    EMPTY = "no keys yet: n issues the first"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "create", "new", id="keys.create"),
        Binding("r", "rotate", "rotate", id="keys.rotate"),
        Binding("x", "finish", "end grace", id="keys.finish"),
        Binding("E", "edit", "edit", id="keys.edit"),
        Binding("z", "suspend", "suspend", id="keys.suspend"),
        Binding("D", "revoke", "revoke", id="keys.revoke"),
        Binding("c", "copy", "copy id", id="keys.copy_id"),
        Binding("e", "explain", "explain", id="keys.explain"),
        Binding("slash", "find", "whose key", id="keys.find", key_display="/"),
        Binding("R", "restore", "restore lost", id="keys.restore"),
        Binding("I", "in_clear", "in clear", show=False, id="keys.in_clear"),
        Binding("C", "copy_command", "copy command", show=False, id="keys.copy_command"),
        Binding("a", "toggle_revoked", "revoked too", show=False, id="keys.toggle_revoked"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._read_at = datetime.now(UTC)
        self._watched = False
        self._sort = ("name", False)
        self._all = False

    def body(self) -> Iterable[Widget]:
        table = VirtualTable(COLUMNS, empty="reading …", id="main")
        yield Split(table, Details(id="details"))

    @property
    def table(self) -> VirtualTable:
        return self.query_one("#main", VirtualTable)

    @property
    def key(self) -> Mapping[str, Any] | None:
        """The key under the cursor."""
        return self._rows.get(str(self.table.cursor_key))

    async def load(self) -> None:
        rows = await self.listed("keys.list", {"all": self._all} | self.in_tenant())
        self._watched = rows is not None  # what failed is told once, and read again when there is news
        if rows is None:
            return
        before = self._rows
        self._rows = {row["id"]: row for row in rows}
        self._read_at = datetime.now(UTC)
        self._show()
        changed = [key for key, row in self._rows.items() if before and _differs(before.get(key), row)]
        self.table.mark_changed(changed)
        if (wanted := self.take_wanted()) is not None:
            self.table.move_to(wanted)
        self.refresh_bindings()
        await self._load_details()

    def tick(self) -> None:
        rotating = [key for key, row in self._rows.items() if row["grace_left"] is not None]
        if rotating:
            self._show()
            if any(self._grace_left(self._rows[key]) == 0 for key in rotating):
                self.stale()
        # Uses come without an event, and whether the old text is still used is what a rotation waits for.
        age_seconds = (datetime.now(UTC) - self._read_at).total_seconds()
        if self._watched and age_seconds >= (_ROTATING_SECONDS if rotating else _QUIET_SECONDS):
            self.stale()

    def _grace_left(self, row: Mapping[str, Any]) -> float:
        return max(0.0, float(row["grace_left"]) - (datetime.now(UTC) - self._read_at).total_seconds())

    def _show(self) -> None:
        name, descending = self._sort
        rows = sorted(self._rows.values(), key=lambda row: (*_sort_value(row, name), row["name"]), reverse=descending)
        self.table.sorted_by(name, descending)
        self.table.show(ListRows((row["id"], self._cells(row)) for row in rows))

    def _cells(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        word = row["state"]
        if row["grace_left"] is not None:
            word = f"rotating {clock(self._grace_left(row))} left"
        return (
            row["name"],
            row["tenant"],
            row["owner"],
            row["kind"],
            "all" if row["kind"] == "client" and not row["model_count"] else str(row["model_count"]),
            used(row),
            _expiry(row),
            STATES.get(row["state"], State.UNKNOWN).text(word),
        )

    async def _load_details(self) -> None:
        key = self.key
        details = self.query_one("#details", Details)
        if key is None:
            details.show(())
            return
        outcome = await self.bridge.ask("keys.show", {"key": key["id"]})
        if outcome.data is None:
            details.show([Line((outcome.summary, "bad"))])
            return
        details.show(facts_of(outcome.data))

    def on_virtual_table_moved(self) -> None:
        self.refresh_bindings()
        begin(self, self._load_details, "details", "details")

    def on_virtual_table_sort_asked(self, event: VirtualTable.SortAsked) -> None:
        self._sort = (event.column, event.descending)
        self._show()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "rotate" and self.table.marks:
            return True
        if action in ("rotate", "finish", "revoke", "copy", "explain", "edit", "suspend"):
            key = self.key
            if key is None or (action not in ("copy", "explain") and key["state"] in ("revoked", "expired")):
                return False
            return action != "finish" or key["grace_left"] is not None
        return action != "restore" or any(row["state"] == LOST for row in self._rows.values())

    def action_create(self) -> None:
        ask_values(self, "keys.create", self.in_tenant(), self._selected, hide=("plan",))

    def action_rotate(self) -> None:
        """The marked ones, or the one under the cursor."""
        if marks := sorted(str(mark) for mark in self.table.marks if mark in self._rows):
            names = ", ".join(self._rows[mark]["name"] for mark in marks)
            ask_values(self, "keys.renew", {"key": tuple(marks)}, self._renewed, shown=f"{len(marks)}: {names}")
        elif key := self.key:
            hide = ("idempotency_key", "plan")
            ask_values(self, "keys.rotate", {"key": key["id"]}, self._selected, shown=_shown(key), hide=hide)

    def _renewed(self, job: Job) -> None:
        """What was rotated is marked no more; what was not stays marked."""
        if job.outcome is not None and isinstance(job.outcome.data, list):
            self.table.set_marks(self.table.marks - {row["id"] for row in job.outcome.data})

    def action_edit(self) -> None:
        if key := self.key:
            defaults = {
                "owner": key["owner"],
                "network": ",".join(key["networks"]),
                "model": ",".join(key["models"]),
                "allow_tenant": ",".join(key["allowed_tenants"]),
                "label": ",".join(f"{name}={value}" for name, value in sorted(key["labels"].items())),
            }
            ask_values(self, "keys.edit", {"key": key["id"]}, defaults=defaults, shown=_shown(key), hide=("plan",))

    def action_suspend(self) -> None:
        """Suspend it, or resume it where it is suspended."""
        if key := self.key:
            action = "keys.resume" if key["state"] == "suspended" else "keys.suspend"
            self.deck.act(action, {"key": key["id"]}, shown=_shown(key))

    def action_finish(self) -> None:
        if key := self.key:
            self.deck.act("keys.finish", {"key": key["id"]}, shown=_shown(key))

    def action_revoke(self) -> None:
        if key := self.key:
            self.deck.act("keys.revoke", {"key": key["id"]}, shown=_shown(key))

    def action_copy(self) -> None:
        if key := self.key:
            self.deck.copy_text(key["id"], "key id")

    def action_explain(self) -> None:
        if key := self.key:
            self.deck.open_view("access", key["id"])

    def action_copy_command(self) -> None:
        if key := self.key:
            self.deck.copy_command("keys.show", {"key": key["id"]})

    def action_toggle_revoked(self) -> None:
        self._all = not self._all
        self.reload()

    # Whose is this key?

    def action_find(self) -> None:
        self.app.push_screen(KeySearch(self._digest), self._find)

    def on_paste(self, event: events.Paste) -> None:
        """A key that is pasted over the list is looked for; its text stops here."""
        event.stop()
        self._find(made_of(event.text, self._digest))

    def _digest(self, text: str) -> str:
        """What is looked for; nothing for a text that nobody need be asked about."""
        if mistyped(text):
            self.deck.tell(
                Refusal(f"that key is {MISTYPED}", code="KEY_MISTYPED", then="copy it again, whole").outcome()
            )
            return ""
        profile = self.bridge.profile
        return digest_of(text, profile.access.salt) if profile is not None else ""

    def _find(self, digest: str | None) -> None:
        if digest:
            begin(self, partial(self._look_up, digest), "finding a key", "find")

    async def _look_up(self, digest: str) -> None:
        outcome = await self.bridge.ask("keys.find", {"digest": digest})
        self.deck.tell(outcome)
        if isinstance(outcome.data, Mapping):
            self._all = self._all or outcome.data["state"] == "revoked"
            self.select(outcome.data["id"])
            self.reload()

    # Keys that stand in clear

    def action_in_clear(self) -> None:
        begin(self, self._show_in_clear, "reading what stands in clear", "in clear")

    async def _show_in_clear(self) -> None:
        outcome = await self.bridge.ask("keys.import", {"plan": True})
        if not outcome.data:
            self.deck.tell(outcome)
            return
        window = InClear(REGISTRY["keys.import"], outcome)

        def closed(_: None) -> None:
            if window.wanted:
                ask_values(self, "keys.import", self.in_tenant(), hide=("plan", "entry"))

        self.app.push_screen(window, closed)

    # Keys that Redis has lost

    def action_restore(self) -> None:
        begin(self, self._show_lost, "reading what is lost", "lost")

    async def _show_lost(self) -> None:
        outcome = await self.bridge.ask("keys.restore", {"plan": True} | self.in_tenant())
        if not outcome.data:
            self.deck.tell(outcome)
            return
        window = Lost(REGISTRY["keys.restore"], outcome)

        def closed(_: None) -> None:
            if window.wanted:
                self.deck.act("keys.restore", self.in_tenant())

        self.app.push_screen(window, closed)

    def _selected(self, job: Job) -> None:
        """Put the cursor at the key that a job was about, when it is there."""
        if job.outcome is not None and isinstance(job.outcome.data, Mapping) and "id" in job.outcome.data:
            self.select(job.outcome.data["id"])


def _shown(key: Mapping[str, Any]) -> str:
    """As it is called wherever something is asked about it."""
    return f"{key['name']} ({key['id']})"


def _differs(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    return before is None or any(before[name] != now[name] for name in ("state", "models", "expires_at"))


def _sort_value(row: Mapping[str, Any], column: str) -> tuple[bool, Any]:
    value = row[{"models": "model_count", "expires": "expires_at", "used": "last_used"}.get(column, column)]
    return value is None, value if value is not None else ""


def _expiry(row: Mapping[str, Any]) -> str | Text:
    moment = row["expires_at"]
    if moment is None:
        return "never"
    left = (datetime.fromisoformat(moment) - datetime.now(UTC)).total_seconds()
    if row["expires_soon"] and left > 0:
        return State.DRIFT.text(age(left))
    return age(left) if left > 0 else "past"
