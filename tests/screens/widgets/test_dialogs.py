"""Questions, secrets, errors, jobs and help: nothing is done, lost or hidden by a stray key."""

from __future__ import annotations

import gc
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.widgets import Static

from console.outcome import Revealed
from widgets.books import Fault, FaultBook, Job, JobBook
from widgets.confirm import Confirm, TypedConfirm
from widgets.error_bar import ErrorBar, ErrorList
from widgets.help_overlay import HelpOverlay
from widgets.jobs import JobsDrawer
from widgets.key_footer import KeyFooter, key_name, live_keys
from widgets.reveal import Reveal
from widgets.status_line import Link, Status, StatusLine, Tab
from widgets.table_rows import Column, ListRows
from widgets.theme import State
from widgets.virtual_table import VirtualTable

SECRET = "bud_client_3fK9xQ7vLwR2mT8pZ4nB6yH1cJ5sD0gA"


async def test_no_is_the_answer_unless_somebody_says_yes(stage: Any) -> None:
    app = stage(lambda: [Static()])
    async with app.run_test(size=(80, 24)) as pilot:
        for keys, expected in [
            (["enter"], False), (["escape"], False), (["n"], False), (["q"], False), (["y"], True),
            (["down", "enter"], True), (["j", "k", "enter"], False),
        ]:  # fmt: skip
            answers: list[bool | None] = []
            app.push_screen(Confirm("Revoke k7f3?", facts=[("last used", "12 s ago")]), answers.append)
            await pilot.pause()
            await pilot.press(*keys)
            await pilot.pause()
            assert answers == [expected], keys


async def test_the_name_must_be_typed_exactly(stage: Any) -> None:
    app = stage(lambda: [Static()])
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[bool | None] = []
        app.push_screen(TypedConfirm("Unpublish llama-3?", "llama-3"), answers.append)
        await pilot.pause()
        await pilot.press("enter", *"llama", "enter")
        await pilot.pause()
        assert answers == []
        assert any("this is not the name" in line for line in app.lines())
        await pilot.press(*"-3")
        await pilot.pause()
        assert any("the name is right" in line for line in app.lines())
        await pilot.press("enter")
        await pilot.pause()
        app.push_screen(TypedConfirm("Unpublish llama-3?", "llama-3"), answers.append)
        await pilot.pause()
        await pilot.press(*"llama-3", "escape")
        await pilot.pause()
        assert answers == [True, False]


class Copies(App[None]):
    """Takes the wish to copy as the console does."""

    def __init__(self) -> None:
        super().__init__()
        self.copied: list[str] = []
        self.closed: list[None] = []

    def on_reveal_copy_asked(self, event: Reveal.CopyAsked) -> None:
        event.reveal.hand_to(self.copied.append)
        event.reveal.say("43 characters were sent to your terminal")


def lines_of(app: App[None]) -> str:
    strips = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def test_a_secret_is_closed_only_on_purpose_and_is_nowhere_afterwards() -> None:
    app = Copies()
    messages: list[str] = []
    async with app.run_test(size=(80, 24), message_hook=lambda message: messages.append(repr(message))) as pilot:
        revealed = Revealed(SECRET)
        dialog = Reveal(revealed, facts=[("key", "k7f3")])
        app.push_screen(dialog, app.closed.append)
        await pilot.pause()
        assert SECRET in lines_of(app)
        assert revealed.take() is None
        await pilot.press("escape", "q", "space", "j", "enter", "j", "enter")
        await pilot.pause()
        assert app.closed == []
        await pilot.press("c")
        await pilot.pause()
        assert app.copied == [SECRET]
        assert "43 characters were sent" in lines_of(app)
        tree = "\n".join(repr(node) for node in dialog.walk_children())
        assert SECRET not in "\n".join((tree, repr(dialog), str(dialog.tree), *messages))
        await pilot.press("enter", "enter")
        await pilot.pause()
        assert app.closed == [None]
        assert SECRET not in lines_of(app)
        app.copied.clear()
        dialog.hand_to(app.copied.append)
        assert app.copied == []
        del dialog
        gc.collect()
        held = [value for each in gc.get_objects() if isinstance(each, Reveal) for value in vars(each).values()]
        assert SECRET not in held


async def test_an_error_stays_until_it_is_read(stage: Any) -> None:
    book = FaultBook()
    app = stage(lambda: [Static("above"), ErrorBar(book)])
    async with app.run_test(size=(80, 24)) as pilot:
        assert not app.query_one(ErrorBar).display
        book.add(Fault("novita refused the key", "the catalog is 3 h old", "press 7 for Sync", "02:41:07"))
        book.add(Fault("redis is gone: [b]x\x1b[2J", "what is shown is 4 s old", "it is tried again", "02:42:07"))
        await pilot.pause()
        bar = next(line for line in app.lines() if "! read" in line)
        assert bar.startswith(" ✖ 2 errors  redis is gone: [b]x\\x1b[2J; next: it is tried again; what")
        app.push_screen(ErrorList(book))
        await pilot.pause()
        shown = "\n".join(app.lines())
        for sentence in ("novita refused the key", "the catalog is 3 h old", "press 7 for Sync", "02:41:07"):
            assert sentence in shown
        await pilot.press("escape")
        await pilot.pause()
        assert not app.query_one(ErrorBar).display
        assert (book.unread, len(book.faults)) == (0, 2)


def test_errors_that_nobody_has_read_are_never_dropped() -> None:
    book = FaultBook()
    for number in range(250):
        book.add(Fault(str(number)))
    assert len(book.faults) == 250
    book.read()
    book.add(Fault("one more"))
    assert (len(book.faults), book.unread) == (100, 1)


async def test_jobs_show_progress_and_are_cancelled_by_a_key(stage: Any) -> None:
    book = JobBook()
    app = stage(lambda: [Static("above"), JobsDrawer(book)])
    async with app.run_test(size=(80, 24), message_hook=app.posted.append) as pilot:
        drawer = app.query_one(JobsDrawer)
        book.put(Job("1", "sync novita", done=2000, total=4000, seconds=12))
        book.put(Job("2", "publish llama", State.DONE, seconds=61))
        assert (book.running, drawer.toggle()) == (1, True)
        await pilot.pause()
        lines = app.lines()
        at = next(number for number, line in enumerate(lines) if line.startswith(" Jobs  1 running, 1 over"))
        assert "publish llama" in lines[at + 1]
        assert "█████░░░░░   2,000 of 4,000" in lines[at + 2]
        await pilot.press("x", "enter")
        assert (app.take(JobsDrawer.CancelAsked), app.take(JobsDrawer.Opened)[0].job) == ([], "2")
        await pilot.press("j", "x")
        assert app.take(JobsDrawer.CancelAsked)[0].job == "1"
        await pilot.press("escape")
        assert not drawer.display
        book.forget_finished()
        assert [job.id for job in book.jobs] == ["1"]


TABS = tuple(Tab(str(n), title) for n, title in enumerate(("Overview", "Catalog", "Publish", "Published", "Keys"), 1))
LINKS = (Link("redis", State.READY, "2 s"), Link("k8s", State.READY, "1 s"), Link("envoy", State.FAILED, "lost"))


async def test_the_header_says_where_one_is_and_what_is_wrong_at_any_width(stage: Any) -> None:
    status = Status(profile="prod", protected=True, read_only=True, links=LINKS)
    for width, expected in [
        (120, ["modeldeck", "PROD", "READ-ONLY", "tenant all", "● redis 2 s", "✖ envoy lost", "1 Overview"]),
        (80, ["modeldeck", "PROD", "READ-ONLY", "●redis 2 s", "✖envoy lost", "5 Keys"]),
        (58, ["PROD", "READ-ONLY", "✖", "envoy", "2 Catalog"]),
        (34, ["PROD", "READ-ONLY", "2 Catalog"]),
    ]:
        app = stage(lambda: [StatusLine(TABS, "2", status)])
        async with app.run_test(size=(width, 6), message_hook=app.posted.append) as pilot:
            shown = "\n".join(app.lines())
            assert [word for word in expected if word not in shown] == [], (width, shown)
            line = app.query_one(StatusLine)
            line.show(Status(profile="dev", armed_seconds=581, links=LINKS))
            await pilot.pause()
            assert "WRITES 9:41" in app.lines()[0]
            await pilot.click(StatusLine, offset=(1, 1))
            assert [message.key for message in app.take(StatusLine.TabAsked)] == ["1"]


async def test_the_header_draws_nothing_when_nothing_is_otherwise(stage: Any) -> None:
    app = stage(lambda: [StatusLine(TABS, "2", Status(links=LINKS))])
    async with app.run_test(size=(100, 6)):
        line = app.query_one(StatusLine)
        drawn: list[Any] = []
        line.refresh = lambda *regions, **more: drawn.append(regions)  # type: ignore[method-assign,assignment]
        line.show(Status(links=LINKS))
        assert drawn == []
        line.show(Status(links=LINKS[:2]))
        assert len(drawn) == 1


class WithKeys(App[None]):
    BINDINGS = [  # noqa: RUF012
        Binding("question_mark", "help", "help", id="app.help"),
        Binding("p", "publish", "publish", id="models.publish"),
        Binding("u", "undo", "undo", id="operations.undo"),
        Binding("f2", "nothing", "of nobody"),
    ]
    jobs = 0
    allowed = True

    def compose(self) -> Any:
        yield VirtualTable([Column("a", "A", 10)])
        yield KeyFooter(always=("app.help",), jobs=lambda: self.jobs)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.allowed if action == "publish" else True

    def action_help(self) -> None:
        self.push_screen(HelpOverlay(self.screen))


async def test_the_footer_lists_what_works_now_and_never_loses_help() -> None:
    app = WithKeys()
    async with app.run_test(size=(60, 8)) as pilot:
        await pilot.pause()
        footer = app.query_one(KeyFooter)
        assert footer.render_line(0).text.split() == ["p", "publish", "u", "undo", "?", "help"]
        app.query_one(VirtualTable).show(ListRows([("x", ["x"])]))
        app.allowed, app.jobs = False, 2
        app.refresh_bindings()
        await pilot.pause()
        footer.update()
        await pilot.pause()
        text = footer.render_line(0).text
        assert text.split()[:6] == ["⏎", "open", "space", "mark", "u", "undo"]
        assert text.split()[6:] == ["?", "help", "2", "jobs", "▸", "`"]
        await pilot.resize_terminal(34, 8)
        await pilot.pause()
        narrow = footer.render_line(0).text
        assert "? help" in narrow
        assert "…" in narrow


async def test_help_is_made_of_the_live_bindings_and_can_be_filtered() -> None:
    app = WithKeys()
    async with app.run_test(size=(80, 30)) as pilot:
        app.query_one(VirtualTable).show(ListRows([("x", ["x"])]))
        await pilot.press("question_mark")
        await pilot.pause()
        shown = lines_of(app)
        for text in ("Table", "Everywhere", "half a page down", "publish", "table.down", "↓ j"):
            assert text in shown
        assert "of nobody" not in shown, "what has no id is not ours"
        await pilot.press("slash", *"page")
        await pilot.pause()
        shown = lines_of(app)
        assert "half a page down" in shown
        assert "publish" not in shown
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert not isinstance(app.screen, HelpOverlay)


def test_keys_are_named_as_on_the_keyboard() -> None:
    assert [key_name(key) for key in ("ctrl+s", "question_mark", "backslash", "enter", "shift+tab", "G")] == [
        "^s", "?", "\\", "⏎", "shift-tab", "G",
    ]  # fmt: skip


async def test_every_binding_of_a_widget_has_an_id_of_its_own(stage: Any) -> None:
    app = stage(lambda: [VirtualTable([Column("a", "A", 10)])])
    async with app.run_test(size=(80, 30)):
        table = app.query_one(VirtualTable)
        table.show(ListRows([("x", ["x"])]))
        ids = [hint.id for hint in live_keys(app.screen) if hint.owner is table]
        assert len(ids) == len(set(ids)) > 10
