"""Changes that were held back because they look wrong: each as a difference, to be let through or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget

from console.bridge import Job
from screens.details import Details, Fact, Line, local_time
from screens.frame import begin
from screens.window import Window
from widgets.confirm import Confirm
from widgets.diff_view import Change, DiffView, FieldDiff
from widgets.theme import State

_ASKED = {
    "sync.accept": ("Let all {count} held changes through?", "yes, the catalog takes them over"),
    "sync.refuse": ("Refuse all {count} held changes?", "yes, the catalog stays as it is"),
}


class HeldWindow(Window):
    """What waits for a decision. A key decides the one under the cursor, its capital all of them.

    Args:
        first: the provider whose changes come first
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "decide('sync.accept')", "accept", id="held.accept"),
        Binding("r", "decide('sync.refuse')", "refuse", id="held.refuse"),
        Binding("A", "decide_all('sync.accept')", "accept all", id="held.accept_all"),
        Binding("R", "decide_all('sync.refuse')", "refuse all", id="held.refuse_all"),
        Binding("C", "copy_command", "copy command", show=False, id="held.copy_command"),
    ]
    DEFAULT_CSS = "HeldWindow #details { height: 6; }"

    def __init__(self, first: str = "") -> None:
        super().__init__("Held for review")
        self._first = first
        self._rows: dict[str, Mapping[str, Any]] = {}
        self._job: Job | None = None

    def body(self) -> Iterable[Widget]:
        yield HeldDiffs(empty="reading …", id="main")
        yield Details(id="details")

    def opened(self) -> None:
        self._read()

    @property
    def diffs(self) -> HeldDiffs:
        return self.query_one(HeldDiffs)

    @property
    def row(self) -> Mapping[str, Any] | None:
        """The held change under the cursor."""
        change = self.diffs.change
        return None if change is None else self._rows.get(change.title)

    def _read(self) -> None:
        begin(self, self._load, "reading what is held", "load")

    async def _load(self) -> None:
        rows = await self.ask("sync.held", {})
        if rows is None:
            self.diffs.set_empty("not known: it could not be read (! says why)")
            return
        rows.sort(key=lambda row: row["provider"] != self._first)
        self._rows = {_title(row): row for row in rows}
        self.diffs.set_empty("nothing is held: esc goes back")
        self.diffs.show([_change(row) for row in rows])
        self.show_details()

    def show_details(self) -> None:
        """What is known of the one under the cursor, and what the keys would do."""
        self.query_one("#details", Details).show(self._facts())
        self.refresh_bindings()

    def _facts(self) -> Iterable[Fact]:
        job = self._job
        if job is not None:
            outcome = job.outcome
            state = State.RUNNING if outcome is None else State.DONE if outcome.ending.good else State.FAILED
            yield Line((f"{state.glyph} {outcome.summary if outcome is not None else job.title}", state.paint))
        if (row := self.row) is not None:
            yield Fact("why", row["reason"], "warn")
            yield Fact("held", f"since {local_time(row['held_at'])}, number {row['id']}")
            if row["field"] == "list":
                yield Fact("accept", "the next sync takes the shorter list over", "muted")
            else:
                yield Fact("accept", "the price is written at once; refuse: it is not brought up again", "muted")

    # Keys

    def allows(self, action: str) -> bool:
        idle = self._job is None or not self._job.running
        if action == "decide":
            return idle and self.row is not None
        return idle and len(self._rows) > 1 if action == "decide_all" else True

    def action_decide(self, action: str) -> None:
        if (row := self.row) is not None:
            self._decide(action, [row])

    def action_decide_all(self, action: str) -> None:
        rows = list(self._rows.values())
        question, yes = _ASKED[action]

        def answered(go_on: bool | None) -> None:
            if go_on:
                self._decide(action, rows)

        facts = [(row["provider"], f"{row['model']} {row['field']}: {row['reason']}") for row in rows[:5]]
        if len(rows) > len(facts):
            facts.append(("…", f"and {len(rows) - len(facts)} more"))
        self.app.push_screen(Confirm(question.format(count=len(rows)), facts=facts, yes=yes), answered)

    def _decide(self, action: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.deck.act(action, {"held": tuple(str(row["id"]) for row in rows)}, self._heard)

    def _heard(self, job: Job) -> None:
        self._job = job
        if self.is_attached:
            self.show_details()
            if not job.running:
                self._read()

    def action_copy_command(self) -> None:
        if (row := self.row) is not None:
            self.deck.copy_command("sync.accept", {"held": (str(row["id"]),)})


class HeldDiffs(DiffView):
    """Tells the window where the cursor is."""

    def cursor_moved(self) -> None:
        if isinstance(self.screen, HeldWindow):
            self.screen.show_details()

    def set_empty(self, text: str) -> None:
        self._empty = text
        self.rebuild()


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['provider']}/{row['model']}  {row['field']}"


def _change(row: Mapping[str, Any]) -> Change:
    return Change(_title(row), "change", (FieldDiff(row["field"], row["before"], row["proposed"]),), row["reason"])
