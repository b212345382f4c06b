"""How the widgets look. Each picture was looked at before it was kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from rich.text import Text
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widget import Widget

from console.outcome import Revealed
from widgets import theme
from widgets.books import Fault, FaultBook, Job, JobBook
from widgets.checklist import Checklist, Step
from widgets.command_line import CommandLine
from widgets.confirm import Confirm, TypedConfirm
from widgets.diff_view import Change, DiffView, FieldDiff
from widgets.error_bar import ErrorBar, ErrorList
from widgets.feed import FeedView
from widgets.field_specs import FieldKind, FieldSpec
from widgets.filter_bar import FilterBar
from widgets.form import Form
from widgets.help_overlay import HelpOverlay
from widgets.jobs import JobsDrawer
from widgets.key_footer import KeyFooter
from widgets.note import Note
from widgets.prompt import Suggested
from widgets.reveal import Reveal
from widgets.spark import spark
from widgets.status_line import Link, Status, StatusLine, Tab
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

SMALL, LARGE, NARROW = (80, 24), (120, 40), (56, 18)
TITLES = ("Overview", "Catalog", "Publish", "Published", "Keys", "Feed", "Sync", "Audit")
TABS = tuple(Tab(str(number), title) for number, title in enumerate(TITLES, 1))
LINKS = (
    Link("redis", State.READY, "now"),
    Link("k8s", State.READY, "now"),
    Link("db", State.READY, "ok"),
    Link("envoy", State.DRIFT, "late 20 s"),
)
PROD = Status(profile="prod", protected=True, read_only=True, links=LINKS)
ARMED = Status(profile="staging", armed_seconds=581, tenant="acme", links=LINKS[:3])
COLUMNS = (
    Column("model", "MODEL", 20, grow=1, middle=True, priority=9, sortable=True),
    Column("provider", "PROVIDER", 10, priority=7),
    Column("ctx", "CTX", 5, right=True, priority=4, sortable=True),
    Column("in", "IN $/M", 7, right=True, priority=6),
    Column("out", "OUT $/M", 7, right=True, priority=3),
    Column("caps", "CAPS", 4, priority=2),
    Column("state", "STATE", 10, priority=8),
)
MODELS = (
    ("llama-3.3-70b-instruct", "groq", "131k", "0.59", "0.79", "ft·", State.READY.text("pub")),
    ("llama-3.2-90b-vision", "deepinfra", "131k", "0.35", "0.40", "ftv", State.OFF.text()),
    ("qwen-2.5-vl-72b", "deepinfra", "128k", "0.25", "0.75", "ftv", State.PENDING.text()),
    ("auto", "openrouter", "2.0M", "dyn", "dyn", "ft·", State.DRIFT.text()),
    ("a-model-with-a-very-long-name-that-does-not-fit-anywhere-70b-instruct-fp8", "together", "…", "free", "free", "…",
     State.REFUSED.text()),
    ("模型-中文-32k", "alibaba", "32k", "0.0375", "<0.0001", "f··", Text("… unknown", style="muted")),
)  # fmt: skip


def some_rows(count: int) -> ListRows:
    return ListRows((number, MODELS[number % len(MODELS)]) for number in range(count))


class Ring:
    first, last, dropped = 1, 60, 0

    def line(self, seq: int) -> Text:
        what = ("SET", "EXPIRE", "sync")[seq % 3]
        return Text.assemble(
            (f"02:41:{seq % 60:02}.412  ", "muted"), (f"{what:<8} ", "accent"), f"api_key:9f3c…{seq:02}  k7f3 gen 2"
        )


def suggest(text: str, cursor: int) -> list[Suggested]:
    words = {"provider:": "who offers it", "price:": "known, free, dynamic or unknown"}
    return [Suggested(word, 0, cursor, hint) for word, hint in words.items() if text and word.startswith(text)]


def framed(status: Status, active: str, *content: Widget, faults: FaultBook, jobs: JobBook) -> Iterable[Widget]:
    yield StatusLine(TABS, active, status)
    yield from content
    yield ErrorBar(faults)
    yield JobsDrawer(jobs)
    yield KeyFooter(jobs=lambda: jobs.running)


@pytest.mark.parametrize("size", [SMALL, LARGE, NARROW], ids=["small", "large", "narrow"])
def test_a_catalog(stage: Any, snap_compare: Any, size: tuple[int, int]) -> None:
    faults, jobs = FaultBook(), JobBook()
    table = lambda: VirtualTable(COLUMNS)  # noqa: E731
    app = stage(lambda: framed(PROD, "2", FilterBar(), table(), faults=faults, jobs=jobs))

    async def before(pilot: Any) -> None:
        shown = app.query_one(VirtualTable)
        app.query_one(FilterBar).show_count(231, 4812)
        shown.show(some_rows(60))
        shown.sorted_by("model")
        shown.focus()
        await pilot.press("j", "space", "j")
        shown.mark_changed([5])
        faults.add(Fault("novita refused the key", "its models are 3 h old", "press 7 for Sync", "02:41:07"))
        jobs.put(Job("1", "sync novita", done=300, total=4000, seconds=12))
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_a_catalog_by_day(stage: Any, snap_compare: Any) -> None:
    app = stage(lambda: framed(ARMED, "2", VirtualTable(COLUMNS), faults=FaultBook(), jobs=JobBook()))

    async def before(pilot: Any) -> None:
        app.theme = theme.LIGHT.name
        app.query_one(VirtualTable).show(some_rows(6))
        await pilot.press("down", "space")

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


def test_a_catalog_on_a_terminal_without_unicode(stage: Any, snap_compare: Any) -> None:
    theme.use_plain_glyphs()
    rows = ListRows((n, ("llama", "groq", "1k", "1.00", "1.00", "f", state.text())) for n, state in enumerate(State))
    app = stage(lambda: framed(PROD, "2", VirtualTable(COLUMNS), faults=FaultBook(), jobs=JobBook()))

    async def before(pilot: Any) -> None:
        app.query_one(VirtualTable).show(rows)
        await pilot.press("down", "space")

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


def test_a_filter_with_suggestions_over_an_empty_table(stage: Any, snap_compare: Any) -> None:
    empty = "no model fits: esc clears the filter"
    app = stage(lambda: [FilterBar(suggest=suggest), VirtualTable(COLUMNS, empty=empty)])

    async def before(pilot: Any) -> None:
        app.query_one(FilterBar).focus()
        await pilot.press("p", "r")
        await pilot.pause()
        await pilot.press("down")

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


def test_a_filter_with_an_error_and_a_command_line(stage: Any, snap_compare: Any) -> None:
    app = stage(lambda: [FilterBar(value="llama pric:free"), VirtualTable(COLUMNS), CommandLine(suggest=suggest)])

    async def before(pilot: Any) -> None:
        app.query_one(FilterBar).show_error("nothing is called pric; did you mean price?", 6, 15)
        app.query_one(VirtualTable).show(some_rows(4))
        app.query_one(CommandLine).open()
        await pilot.press("p")
        await pilot.pause()

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


@pytest.mark.parametrize("paused", [False, True], ids=["following", "paused"])
def test_a_feed(stage: Any, snap_compare: Any, paused: bool) -> None:
    ring = Ring()
    app = stage(lambda: framed(ARMED, "6", FeedView(ring), faults=FaultBook(), jobs=JobBook()))

    async def before(pilot: Any) -> None:
        feed = app.query_one(FeedView)
        feed.set_summary("14 ev/s  api_key 9  published 1")
        feed.advance()
        if paused:
            await pilot.press("k", "k", "k")
            ring.last, ring.dropped = 97, 1200
            feed.advance()
        await pilot.pause()

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


def test_a_form_beside_its_plan_and_the_steps_of_another(stage: Any, snap_compare: Any) -> None:
    specs = (
        FieldSpec("name", "name", required=True, default="llama-3.2-90b-vision", help="how clients call it"),
        FieldSpec("tenant", "tenant", FieldKind.SELECT, choices=("acme", "beta", "gamma", "delta", "eps", "zeta")),
        FieldSpec("rpm", "limit", FieldKind.INTEGER, minimum=1, default="0", unit="rpm"),
        FieldSpec("access", "access", FieldKind.CHOICE, choices=("any key", "these keys"), default="any key"),
        FieldSpec("parts", "models", FieldKind.SEVERAL, choices=("chat", "embedding"), default="chat"),
        FieldSpec("expires", "expires", FieldKind.DURATION, placeholder="never"),
    )
    changes = (
        Change("Secret acme/llama-32-keys", "create", (FieldDiff("data.key", None, '"•••"'),)),
        Change(
            "BackendTrafficPolicy acme/llama-32",
            "change",
            (
                FieldDiff("spec.requests", "60", "100"),
                FieldDiff("spec.rateLimit.global.rules[0].clientSelectors", "a long value " * 3, "another one " * 14),
                FieldDiff("spec.old", '"gone"', None),
            ),
        ),
        Change("AIGatewayRoute acme/llama-32", "unchanged"),
        Change("published_model_info", "remove", (FieldDiff("llama-32", "{}", None),), note="Redis"),
    )
    steps = (
        Step("Secret", "taken", 0.1),
        Step("BackendTrafficPolicy", "undone", 0.3),
        Step("route", "failed", 3.2, "the cluster refused it: listener http of Gateway envoy is not there"),
        Step("probe"),
    )

    class Plan(Screen[None]):
        DEFAULT_CSS = "Form { width: 1fr; } DiffView { width: 1fr; }"

        def compose(self) -> Any:
            yield StatusLine(TABS, "3", ARMED)
            with Horizontal():
                yield Form(specs)
                yield DiffView(changes)
            yield Checklist(steps)
            yield KeyFooter()

    app = stage(list)

    async def before(pilot: Any) -> None:
        await app.push_screen(Plan())
        form = app.screen.query_one(Form)
        form.focus()
        await pilot.press("enter", "down", "down")
        form.field("rpm").show_error()
        await pilot.pause()

    assert snap_compare(app, terminal_size=LARGE, run_before=before)


DIALOGS = {
    "confirm": lambda: Confirm("Revoke key k7f3 of acme/chat?", facts=[("last used", "10 s ago"), ("models", "3")]),
    "typed": lambda: TypedConfirm(
        "Unpublish llama-3-70b in prod? Clients get 404 from then on.", "llama-3-70b", facts=[("reach", "41 keys")]
    ),
    "reveal": lambda: Reveal(
        Revealed("bud_client_3fK9xQ7vLwR2mT8pZ4nB6yH1cJ5sD0gA"),
        title="Key k7f3, shown once",
        facts=[("expires", "7 d")],
    ),
}


@pytest.mark.parametrize("name", DIALOGS)
@pytest.mark.parametrize("size", [SMALL, NARROW], ids=["small", "narrow"])
def test_a_dialog(stage: Any, snap_compare: Any, name: str, size: tuple[int, int]) -> None:
    app = stage(lambda: framed(PROD, "5", VirtualTable(COLUMNS), faults=FaultBook(), jobs=JobBook()))

    async def before(pilot: Any) -> None:
        app.query_one(VirtualTable).show(some_rows(30))
        await app.push_screen(DIALOGS[name]())
        if name == "typed":
            await pilot.press(*"llama")
        if name == "reveal":
            await pilot.press("enter")
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("name", ["errors", "help", "jobs"])
def test_what_is_opened_from_anywhere(stage: Any, snap_compare: Any, name: str) -> None:
    faults, jobs = FaultBook(), JobBook()
    app = stage(lambda: framed(PROD, "5", VirtualTable(COLUMNS), faults=faults, jobs=jobs))

    async def before(pilot: Any) -> None:
        app.query_one(VirtualTable).show(some_rows(30))
        faults.add(Fault("novita refused the key (401)", "its models are 3 h old", "press 7 for Sync", "02:41:07"))
        faults.add(
            Fault("redis went away in the middle of a rotation; " * 3, "both keys work", "u undoes it", "02:44:00")
        )
        jobs.put(Job("1", "publish llama-3.2-90b-vision", State.DONE, seconds=61, detail="everywhere in 0.04 s"))
        jobs.put(Job("2", "sync novita", State.FAILED, done=12, seconds=3.2))
        jobs.put(Job("3", "sync openrouter", done=2300, total=4000, seconds=12))
        await pilot.pause()
        if name == "errors":
            await app.push_screen(ErrorList(faults))
        elif name == "help":
            await app.push_screen(HelpOverlay(app.screen))
        else:
            app.query_one(JobsDrawer).toggle()
        await pilot.pause()

    assert snap_compare(app, terminal_size=SMALL, run_before=before)


def test_every_state_and_paint(stage: Any, snap_compare: Any) -> None:
    def notes() -> Iterable[Widget]:
        for state in State:
            yield Note([(f" {state.text().plain:<14}", state.paint), (spark(range(12), 14), state.paint)])
        for paint in ("strong", "muted", "accent", "heading", "key", "danger", "armed", "quiet", "chosen", "cursor"):
            yield Note([(f" {paint} ", paint)])

    assert snap_compare(stage(notes), terminal_size=SMALL)
