"""A plan can be read change by change, and an operation step by step."""

from __future__ import annotations

from typing import Any

from console.operations.types import StepState
from console.publishing.types import Effect
from widgets.checklist import STEP_STATES, Checklist, Step
from widgets.diff_view import Change, DiffView, FieldDiff, effect_glyph

CHANGES = (
    Change("Secret acme/llama-keys", "create", (FieldDiff("data.key", None, '"•••"'), FieldDiff("type", None, "x"))),
    Change(
        "BackendTrafficPolicy acme/llama",
        "change",
        (FieldDiff("spec.limit.requests", "60", "100"), FieldDiff("spec.note", "a" * 90, "b " * 150)),
    ),
    Change("AIGatewayRoute acme/llama", "unchanged"),
    Change("published_model_info", "remove", (FieldDiff("llama", '"x"', None),), note="Redis"),
)


async def test_changes_are_folded_unfolded_and_walked_through(stage: Any) -> None:
    app = stage(lambda: [DiffView(CHANGES)])
    async with app.run_test(size=(70, 20)) as pilot:
        view = app.query_one(DiffView)
        assert [line[:12].strip() for line in app.lines()[:3]] == ["▸▹ + Secret", "▿ ~ Backend", "~ spec."]
        await pilot.press("enter")
        await pilot.pause()
        assert "+ data.key" in app.lines()[1]
        for key, title in [("n", 1), ("n", 3), ("n", 0), ("N", 3), ("N", 1), ("N", 0)]:
            await pilot.press(key)
            assert view.change == CHANGES[title], key
        await pilot.press("n", "j", "j", "N")
        assert view.change == CHANGES[1], "from within a change, first to its beginning"
        await pilot.press("z")
        await pilot.pause()
        assert [line for line in app.lines() if line][1].startswith("▸▹ ~ BackendTrafficPolicy acme/llama  2 fields")
        await pilot.press("z", "G")
        assert view.change == CHANGES[3]


async def test_long_values_are_wrapped_and_what_is_left_out_is_counted(stage: Any) -> None:
    app = stage(lambda: [DiffView(CHANGES[1:2])])
    async with app.run_test(size=(60, 20)) as pilot:
        await pilot.pause()
        text = "\n".join(app.lines())
        assert "~ spec.limit.requests  60 → 100" in text
        assert "lines more" in text
        assert all(len(line) <= 60 for line in app.lines())


async def test_what_was_folded_stays_so_when_the_plan_is_made_again(stage: Any) -> None:
    app = stage(lambda: [DiffView(CHANGES)])
    async with app.run_test(size=(70, 20)) as pilot:
        view = app.query_one(DiffView)
        await pilot.press("n", "enter")
        view.show(CHANGES[:2])
        await pilot.pause()
        assert len([line for line in app.lines() if line]) == 2
        view.show(())
        await pilot.pause()
        assert app.lines()[0].strip() == "nothing would change"
        await pilot.press("n", "enter", "j")


async def test_a_step_that_was_left_is_not_shown_as_done_and_says_why(stage: Any) -> None:
    steps = (Step("entry", "taken", 0.1), Step("digests", "left", 3.0, "not written: the cluster did not answer"))
    app = stage(lambda: [Checklist(steps)])
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.pause()
        lines = [line.rstrip() for line in app.lines() if line.strip()]
        assert lines[1].strip().startswith("▲ digests")
        assert lines[2].strip() == "not written: the cluster did not answer"


async def test_steps_show_what_was_done_and_why_one_failed(stage: Any) -> None:
    now = [100.0]
    steps = (Step("Secret", "taken", 0.1), Step("route", "taking", detail="waiting for Programmed"), Step("probe"))
    app = stage(lambda: [Checklist(steps, clock=lambda: now[0])])
    async with app.run_test(size=(60, 12)) as pilot:
        view = app.query_one(Checklist)
        now[0] = 102.4
        view.rebuild()
        await pilot.pause()
        assert [line.strip() for line in app.lines()[:3]] == [
            "✓ Secret  0.1 s",
            "◐ route  2 s  waiting for Programmed",
            "· probe",
        ]
        view.put(1, Step("route", "failed", 3.2, "the cluster refused it: " + "no such listener " * 5))
        view.put(0, Step("Secret", "undone", 0.2))
        await pilot.pause()
        lines = [line.strip() for line in app.lines()]
        assert lines[:2] == ["↶ Secret  0.2 s", "✖ route  3.2 s"]
        assert lines[2].startswith("the cluster refused it: no such listener")
        assert view._counting is None, "nothing ticks when nothing is under way"


def test_the_words_are_those_of_the_services() -> None:
    assert set(STEP_STATES) == {state.value for state in StepState}
    assert [effect_glyph(effect.value) for effect in Effect] == [effect.glyph for effect in Effect]
