"""What is typed: completion, history, errors under the fields, and forms that go to the first of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from console.actions.registry import Kind, Parameter
from widgets.command_line import CommandLine
from widgets.field_specs import FieldKind, FieldSpec, problem_with, specs_of
from widgets.filter_bar import FilterBar
from widgets.form import Form, form_from
from widgets.latest import Latest
from widgets.prompt import Prompt, Suggested

WORDS = {"provider:": "who offers it", "price:": "known, free, dynamic", "pinned": "by an operator"}


def suggest(text: str, cursor: int) -> Sequence[Suggested]:
    begun = text[:cursor].rpartition(" ")[2]
    start = cursor - len(begun)
    return [Suggested(word, start, cursor, hint) for word, hint in WORDS.items() if begun and word.startswith(begun)]


async def test_the_filter_tells_what_was_typed_and_completes_it(stage: Any) -> None:
    app = stage(lambda: [FilterBar(suggest=suggest, id="f")])
    async with app.run_test(size=(60, 10), message_hook=app.posted.append) as pilot:
        bar = app.query_one(FilterBar)
        bar.show_count(231, 4812)
        bar.focus()
        await pilot.press("x", "space", "p", "r")
        await pilot.pause()
        assert app.take(Prompt.Changed)[-1].text == "x pr"
        assert [found.text for found in bar.suggestions] == ["provider:", "price:"]
        assert "price:     known, free, dynamic" in app.lines()[2]
        assert app.lines()[0].endswith("231 of 4,812 models")
        await pilot.press("down", "down", "enter")
        await pilot.pause()
        assert (bar.text, app.take(Prompt.Submitted)) == ("x price:", [])
        await pilot.press("enter")
        assert [message.text for message in app.take(Prompt.Submitted)] == ["x price:"]
        await pilot.press(*" pin", "escape")
        assert (bar.suggestions, app.take(Prompt.Left)) == ((), [])
        await pilot.press("escape")
        assert len(app.take(Prompt.Left)) == 1
        await pilot.press("backspace", "n")
        await pilot.pause()
        await pilot.press("tab")
        assert bar.text == "x price: pinned"


async def test_keys_that_come_at_once_are_told_as_one(stage: Any) -> None:
    app = stage(lambda: [FilterBar()])
    async with app.run_test(size=(60, 10), message_hook=app.posted.append) as pilot:
        bar = app.query_one(FilterBar)
        bar.set_text("a")
        bar.set_text("ab")
        bar.set_text("abc")
        await pilot.pause()
        assert [message.text for message in app.take(Prompt.Changed)] == ["abc"]


async def test_an_error_of_the_filter_points_at_its_part(stage: Any) -> None:
    app = stage(lambda: [FilterBar(value="llama pric:x")])
    async with app.run_test(size=(60, 10)) as pilot:
        bar = app.query_one(FilterBar)
        bar.show_error("nothing is called pric; did you mean price?", 6, 12)
        await pilot.pause()
        lines = app.lines()
        assert lines[0].index("pric:x") == lines[1].index("^^^^^^")
        bar.show_error("nothing is called pric; did you mean price? there are many more of them", 6, 12)
        await pilot.pause()
        assert app.lines()[2].startswith("   nothing is called pric; did you mean")
        bar.clear_error()
        assert bar.error == ""


async def test_the_command_line_goes_through_its_history(stage: Any) -> None:
    app = stage(lambda: [CommandLine(history=["keys list", "sync run"])])
    async with app.run_test(size=(60, 10), message_hook=app.posted.append) as pilot:
        line = app.query_one(CommandLine)
        line.open()
        await pilot.press(*"pu", "up")
        assert line.text == "sync run"
        await pilot.press("up", "up")
        assert line.text == "keys list"
        await pilot.press("down", "down")
        assert line.text == "pu", "what was being typed comes back"
        line.remember("keys list")
        assert line.history == ("sync run", "keys list")
        line.show_error("there is no command pu")
        await pilot.pause()
        assert app.lines()[1] == "there is no command pu"


SPECS = (
    FieldSpec("name", "name", required=True, help="how clients call it"),
    FieldSpec("tenant", "tenant", FieldKind.SELECT, choices=("acme", "beta", "gamma", "delta", "eps", "zeta")),
    FieldSpec("rpm", "limit", FieldKind.INTEGER, minimum=1, maximum=9000, unit="rpm"),
    FieldSpec("access", "access", FieldKind.CHOICE, choices=("any", "these"), default="any"),
    FieldSpec("parts", "parts", FieldKind.SEVERAL, choices=("a", "b", "c"), default="a"),
    FieldSpec("wait", "wait", FieldKind.FLAG),
    FieldSpec("expires", "expires", FieldKind.DURATION, default="7d"),
)


async def test_a_form_is_filled_in_by_keys_alone(stage: Any) -> None:
    app = stage(lambda: [Form(SPECS)])
    async with app.run_test(size=(60, 24), message_hook=app.posted.append) as pilot:
        form = app.query_one(Form)
        form.focus()
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "name is needed" in app.lines()[1]
        assert app.take(Form.Submitted) == []
        await pilot.press(*"llama", "enter", *"et", "enter", *"0", "enter", "down", "space", "enter")
        await pilot.pause()
        assert any("at least 1" in line for line in app.lines())
        assert form.values["tenant"] == "beta", "enter takes the first that fits"
        await pilot.press("down", "space", "enter", "j", "space", "enter", *"x", "ctrl+s")
        assert set(form.errors) == {"rpm", "expires"}
        await pilot.press("backspace", *"60", "ctrl+s")
        assert set(form.errors) == {"expires"}
        await pilot.press("backspace", "ctrl+s")
        await pilot.pause()
        (submitted,) = app.take(Form.Submitted)
        assert submitted.values == {
            "name": "llama", "tenant": "beta", "rpm": "60", "access": "these", "parts": "a,b", "wait": "yes",
            "expires": "7d",
        }  # fmt: skip
        assert form.given["parts"] == ("a", "b")
        assert form.given["wait"] is True
        changed = [message.name for message in app.take(Form.Changed)]
        assert changed[:5] == ["name"] * 5


async def test_what_is_seldom_needed_is_behind_a_key_and_comes_forth_where_it_is_wrong(stage: Any) -> None:
    specs = (
        FieldSpec("name", "name", required=True),
        FieldSpec("tph", "tokens/hour", FieldKind.INTEGER, minimum=1, more=True),
        FieldSpec("rpm", "requests/minute", FieldKind.INTEGER),
    )
    app = stage(lambda: [Form(specs)])
    async with app.run_test(size=(60, 24)) as pilot:
        form = app.query_one(Form)
        form.focus()
        await pilot.pause()
        shown = [line.strip() for line in app.lines() if line.strip()]
        assert [line.split()[0] for line in shown] == ["name", "requests/minute", "more…"]
        assert shown[-1] == "more…  tokens/hour"
        await pilot.press("enter", "enter", *"60")
        assert form.values == {"name": "", "rpm": "60", "tph": ""}, "enter passes over what is out of sight"
        await pilot.press("ctrl+g", *"7")
        assert form.values["tph"] == "7"
        await pilot.press("ctrl+g")
        assert form.has_class("-more"), "something stands there"
        await pilot.press("backspace", "ctrl+g")
        assert not form.has_class("-more")
        form.show_errors({"tph": "this gateway cannot count tokens"})
        await pilot.pause()
        assert "this gateway cannot count tokens" in "\n".join(app.lines())


async def test_what_a_service_finds_wrong_stands_at_the_field_until_it_is_edited(stage: Any) -> None:
    app = stage(lambda: [Form(SPECS)])
    async with app.run_test(size=(60, 24)) as pilot:
        form = app.query_one(Form)
        form.set_value("name", "llama")
        form.show_errors({"name": "llama is published already", "nowhere": "x"})
        await pilot.pause()
        assert "llama is published already" in app.lines()[1]
        assert form.errors == {"name": "llama is published already"}
        await pilot.press("2")
        await pilot.pause()
        assert form.errors == {}


async def test_a_form_is_made_of_the_parameters_of_an_action(stage: Any) -> None:
    parameters = (
        Parameter("model", "what to publish", positional=True, required=True),
        Parameter("rpm", "requests per minute", Kind.INTEGER, minimum=1),
        Parameter("kind", "how clients call it", Kind.CHOICE, choices=("openai", "traditional"), default="openai"),
        Parameter("dry_run", "only show the plan", Kind.FLAG),
    )
    app = stage(lambda: [form_from(parameters)])
    async with app.run_test(size=(60, 24)) as pilot:
        form = app.query_one(Form)
        await pilot.pause()
        assert form.given == {"kind": "openai", "dry_run": False}
        assert form.errors == {"model": "model is needed"}
        assert "dry run" in "\n".join(app.lines())
    many = specs_of([Parameter("to", "", Kind.CHOICE, many=True, choices=("a", "b"), default=("a", "b"))])
    assert (many[0].kind, many[0].default) == (FieldKind.SEVERAL, "a,b")


def test_what_is_wrong_with_a_text_is_said_in_words() -> None:
    number = FieldSpec("n", "n", FieldKind.INTEGER, minimum=2, maximum=9)
    assert [problem_with(number, text) for text in ("", "x", "1", "10", "5")] == [
        None, "a whole number", "at least 2", "at most 9", None,
    ]  # fmt: skip
    wait = FieldSpec("w", "w", FieldKind.DURATION)
    assert [problem_with(wait, text) is None for text in ("90s", "1h30m", "15", "soon", "1y")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    even = FieldSpec("e", "e", check=lambda text: None if len(text) % 2 == 0 else "an even number of letters")
    assert problem_with(even, "abc") == "an even number of letters"


async def test_of_wishes_that_come_while_one_is_granted_only_the_last_counts() -> None:
    ran: list[str] = []
    gate = asyncio.Event()

    async def run(what: str) -> None:
        ran.append(what)
        await gate.wait()

    latest = Latest(run)
    latest.wish("a")
    await asyncio.sleep(0)
    for wish in ("b", "c", "d"):
        latest.wish(wish)
    assert latest.busy
    gate.set()
    await latest.settled()
    assert (ran, latest.busy) == (["a", "d"], False)
