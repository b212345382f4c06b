"""The table keeps its promises under every key and every update."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from widgets.table_rows import Column, ListRows, fit_columns
from widgets.theme import State
from widgets.virtual_table import VirtualTable

COLUMNS = [
    Column("model", "MODEL", 16, grow=1, middle=True, priority=9, sortable=True),
    Column("provider", "PROVIDER", 10, priority=5),
    Column("ctx", "CTX", 6, right=True, priority=3, sortable=True),
    Column("state", "STATE", 10, priority=8),
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def rows(*numbers: int, changed: int = -1) -> ListRows:
    return ListRows(
        (n, (f"model-{n:04}", "other" if n == changed else "groq", f"{n}k", State.READY.text())) for n in numbers
    )


def table(**more: Any) -> VirtualTable:
    return VirtualTable(COLUMNS, empty="no model fits: esc clears the filter", **more)


async def test_every_key_moves_the_cursor_where_it_says(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(60, 11)) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(*range(100)))
        await pilot.pause()
        for key, place in [
            ("j", 1), ("down", 2), ("k", 1), ("up", 0), ("up", 0), ("J", 10), ("K", 0), ("pagedown", 10),
            ("ctrl+f", 20), ("pageup", 10), ("ctrl+b", 0), ("ctrl+d", 5), ("ctrl+u", 0), ("G", 99), ("j", 99),
            ("g", 0), ("end", 99), ("home", 0),
        ]:  # fmt: skip
            await pilot.press(key)
            assert it.cursor_key == place, key
            assert it._top <= it.cursor_position < it._top + it._page, key


async def test_messages_say_what_was_opened_moved_to_and_marked(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(60, 11), message_hook=app.posted.append) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(*range(5)))
        await pilot.press("j", "enter")
        assert [message.key for message in app.take(VirtualTable.Moved)] == [0, 1]
        assert [message.key for message in app.take(VirtualTable.Opened)] == [1]
        await pilot.press("space", "space")
        assert app.take(VirtualTable.MarksChanged)[-1].marks == {1, 2}
        assert set(it.targets) == {1, 2}
        await pilot.press("G", "V")
        assert it.marks == {1, 2, 3, 4}
        await pilot.press("backslash")
        assert (it.marks, it.targets) == (frozenset(), (4,))
        await pilot.press("A")
        assert it.marks == {0, 1, 2, 3, 4}
        await pilot.press("s")
        asked = app.take(VirtualTable.SortAsked)[-1]
        assert (asked.column, asked.descending) == ("model", False)
        it.sorted_by("model")
        await pilot.press("S")
        assert app.take(VirtualTable.SortAsked)[-1].descending is True
        await pilot.press("s")
        assert app.take(VirtualTable.SortAsked)[-1].column == "ctx"
        assert "MODEL▲" in app.lines()[0]


async def test_clicks_move_open_and_sort(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(60, 11), message_hook=app.posted.append) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(*range(5)))
        await pilot.pause()
        await pilot.click(VirtualTable, offset=(5, 3))
        assert (it.cursor_key, app.take(VirtualTable.Opened)) == (2, [])
        await pilot.click(VirtualTable, offset=(5, 3))
        assert [message.key for message in app.take(VirtualTable.Opened)] == [2]
        await pilot.click(VirtualTable, offset=(4, 0))
        assert app.take(VirtualTable.SortAsked)[-1].column == "model"
        await pilot.click(VirtualTable, offset=(5, 9))
        assert it.cursor_key == 2


async def test_an_untouched_cursor_stays_at_the_top_and_one_that_was_moved_with_its_row(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(60, 11)) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(5, 6, 7))
        it.show(rows(1, 5, 6, 7))
        assert it.cursor_key == 1
        await pilot.press("j")
        it.show(rows(*range(8)))
        assert it.cursor_key == 5
        it.show(rows())
        await pilot.pause()
        assert it.cursor_key is None
        assert "no model fits" in app.lines()[2]
        it.show(rows(*range(8)))
        assert it.cursor_key == 5, "what an operator was at is found again when the filter goes"


async def test_a_change_is_marked_and_fades_in_steps(stage: Any) -> None:
    clock = Clock()
    app = stage(lambda: [table(clock=clock)])
    async with app.run_test(size=(60, 11)) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(*range(5)))
        it.mark_changed([2])
        await pilot.pause()
        assert app.lines()[3].startswith(" Δmodel-0002")
        paints = []
        for now in (0, 7, 20, 31):
            clock.now = now
            paints.append(it._fade_paint(2))
            it._fade()
        assert paints == ["key", "accent", "muted", ""]
        await pilot.pause()
        assert app.lines()[3].startswith("  model-0002")
        assert it._fading is None, "nothing ticks when nothing has changed"


async def test_only_lines_that_differ_are_drawn_again(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(60, 11)) as pilot:
        it = app.query_one(VirtualTable)
        it.show(rows(*range(50)))
        await pilot.pause()
        drawn: list[int] = []
        it._refresh_line = drawn.append  # type: ignore[method-assign]
        it.show(rows(*range(50)))
        assert drawn == []
        it.show(rows(*range(50), changed=3))
        assert drawn == [4]
        it.refresh_keys([0, 49])
        assert drawn == [4, 1]


async def test_what_comes_from_outside_cannot_steer_the_terminal(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(80, 6)) as pilot:
        it = app.query_one(VirtualTable)
        it.show(ListRows([("x", ("[bold]a\x1b[2J", "模型模型模型模型模型", "\u202e7", "b\nc"))]))
        await pilot.pause()
        line = app.lines()[1]
        assert "[bold]a\\x1b[2J" in line
        assert "模型模型…" in line
        assert "\x1b" not in line
        assert "b\\x0ac" in line


def test_the_least_important_columns_drop_out_first() -> None:
    assert [at for at, _ in fit_columns(COLUMNS, 100)] == [0, 1, 2, 3]
    assert [at for at, _ in fit_columns(COLUMNS, 44)] == [0, 1, 3]
    assert [at for at, _ in fit_columns(COLUMNS, 30)] == [0, 3]
    assert fit_columns(COLUMNS, 10) == [(0, 10)]
    assert sum(width for _, width in fit_columns(COLUMNS, 80)) + 3 * 2 == 80


KEYS = st.lists(st.integers(0, 60), unique=True, max_size=60)
STEPS = st.lists(
    st.tuples(st.just("show"), KEYS)
    | st.tuples(st.just("show"), st.integers(0, 80).map(lambda n: list(range(n))))
    | st.tuples(st.sampled_from(["move", "page", "half_page"]), st.integers(-3, 3))
    | st.tuples(st.sampled_from(["first", "last", "mark", "mark_range", "mark_all", "clear_marks"]), st.none()),
    max_size=14,
)


async def test_cursor_marks_and_place_hold_under_any_updates(stage: Any) -> None:
    app = stage(lambda: [table()])
    async with app.run_test(size=(50, 9)) as pilot:
        it = app.query_one(VirtualTable)

        @settings(max_examples=300, deadline=None)
        @given(STEPS)
        def any_updates(steps: list[tuple[str, Any]]) -> None:
            it.show(rows())
            it._moved_by_hand, it._lost = False, None
            it.set_marks(())
            for name, argument in steps:
                if name == "show":
                    check_show(it, argument)
                else:
                    getattr(it, f"action_{name}")(*([] if argument is None else [argument]))
                    if it.cursor_key is not None:
                        assert it._top <= it.cursor_position < it._top + it._page
                check(it)

        any_updates()
        await pilot.pause()


def check(it: VirtualTable) -> None:
    count = len(it.rows)
    assert (it.cursor_key is None) == (count == 0)
    if count:
        assert it.rows.key(it.cursor_position) == it.cursor_key
    assert 0 <= it._top <= max(0, count - it._page)
    for line in range(1, it.size.height):
        position = it._top + line - 1
        text = it.render_line(line).text
        if position < count:
            assert f"model-{it.rows.key(position):04}" in text
            assert text.startswith("▸") == (position == it.cursor_position)
            assert ("•" in text[:2]) == (it.rows.key(position) in it.marks)


def check_show(it: VirtualTable, numbers: list[int]) -> None:
    before: list[Hashable] = [it.rows.key(position) for position in range(len(it.rows))]
    key, cursor, top, marks, moved = it.cursor_key, it.cursor_position, it._top, it.marks, it._moved_by_hand
    line = cursor - top
    it.show(rows(*numbers))
    assert it.marks == marks
    if not moved:
        assert it.cursor_position == 0
        return
    if key in numbers:
        assert it.cursor_key == key
        if 0 <= line < it._page:
            wanted = max(0, min(it.cursor_position - line, len(numbers) - it._page))
            assert it._top == wanted, "the row under the cursor stays on its line as far as there are rows"
    elif key is not None and numbers:
        left = [abs(before.index(other) - cursor) for other in before if other in numbers]
        if left and it.cursor_key in before:
            assert abs(before.index(it.cursor_key) - cursor) == min(left)
        elif not left:
            assert it.cursor_position == min(cursor, len(numbers) - 1)
