"""What the operator sees when something is refused, lost, stopped or wrong, and that the console goes on."""

from __future__ import annotations

import asyncio

import pytest

from console.k8s.types import BACKEND, SECRET
from console.outcome import Ending, Failure
from tests.e2e.console.conftest import Opens, without
from tests.support.stack import MODEL, Running, fault_at
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_read_only_profile_writes_nothing(opened: Opens, stack: Running) -> None:
    await stack.key("kept")
    async with opened(read_only=True) as operator:
        await operator.sees("▮READ-ONLY▮")
        await operator.press("5")
        await operator.sees("kept", "● active")
        await operator.press("D")
        await operator.sees("✖ 1 error", "read-only")
        # The error stays until it has been read.
        await operator.press("4", "5", "escape")
        await operator.sees("✖ 1 error")
        await operator.press("exclamation_mark")
        await operator.sees("nothing was changed", "read-only")
        await operator.press("escape")
        await operator.sees_no("1 error")
    assert [row["state"] for row in (await stack.do("keys.list")).data] == ["active"]


async def test_a_protected_profile_is_armed_by_its_name_and_asks_for_names(opened: Opens, stack: Running) -> None:
    await stack.key("chat")
    async with opened(protected=True, name="prod") as operator:
        await operator.sees("PROD", "writes locked")
        await operator.press("5")
        await operator.sees("chat", "● active")
        identifier = (await stack.do("keys.list")).data[0]["id"]
        await operator.press("D")
        await operator.sees("✖ 1 error", "armed")

        await operator.press("W")
        await operator.sees("Allow writes to prod?")
        await operator.press("'pro", "enter")
        await operator.sees("this is not the name")
        await operator.press("'d", "enter")
        await operator.sees("▮WRITES 9:5")

        await operator.press("D")
        await operator.sees(f"Type {identifier} and press enter")
        await operator.press("'chat", "enter")
        await operator.sees("this is not the name")
        await operator.press("escape")
        await operator.sees("● active")
        await operator.press("D")
        await operator.sees("and press enter")
        await operator.press(f"'{identifier}", "enter")
        await operator.sees("no keys yet")

        await operator.press("W")
        await operator.sees("writes locked")


async def test_a_lost_redis_is_said_and_complete_again_after_it(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.press("6")
        await operator.sees("following", "ev/s")
        async with without(stack, "valkey"):
            await operator.sees("Redis is lost", "redis lost", within=5)
            # The keyboard and the other views go on.
            await operator.press("2")
            await operator.sees("1,305 models")
            await operator.press("j", "j", "slash", "'qwen", "enter")
            await operator.sees("of 1,305 models")
            await operator.press("5")
            await operator.sees("✖ ")
            await operator.press("6")
            await operator.sees("Redis is lost")
        await operator.sees("complete again", "redis ok", within=10)
        # What has happened meanwhile, and what happens now, is there.
        await stack.key("after-the-loss")
        await operator.sees("SET", "gen 1", within=5)


async def test_without_kubernetes_the_rest_goes_on(opened: Opens, stack: Running) -> None:
    await stack.publish()
    async with opened() as operator:
        await operator.press("4")
        await operator.sees("llama", "● ready")
        async with without(stack, "kubernetes"):
            await operator.press("1", "r")
            await operator.sees("k8s down", "✖ down", within=20)
            await operator.press("5")
            await operator.issues("still-works")
            await operator.press("2")
            await operator.sees("1,305 models")
        await operator.press("1", "r")
        await operator.sees("k8s ok", within=20)
        await operator.press("4")
        await operator.sees("llama", "● ready", within=20)


async def test_a_publish_that_fails_says_what_failed_and_leaves_nothing(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.plans(MODEL, "doomed")
        with fault_at(5, "before", Failure("the cluster refused it: quota exceeded")):
            await operator.press("ctrl+s")
            await operator.sees("✖ failed", "quota exceeded", "↶ ")
        assert await stack.objects(BACKEND, SECRET) == []
        assert await stack.entries() == {}
        await operator.sees("✖ 1 error")
        # And then it works.
        await operator.press("ctrl+r")
        await operator.plans(MODEL, "doomed", at_publish=True)
        await operator.press("ctrl+s")
        await operator.sees("✓ done")


async def test_a_publish_that_is_cancelled_is_undone(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.plans(MODEL, "regretted")
        reached = asyncio.Event()
        with fault_at(6, "after", None, reached):
            await operator.press("ctrl+s")
            await until(reached.is_set)
            assert await stack.objects(BACKEND) != []
            await operator.sees("^x cancel", "1 job")
            await operator.press("ctrl+x")
            await operator.sees("cancelled", "↶ ")
        assert await stack.objects(BACKEND, SECRET) == []
        assert await stack.entries() == {}
        assert (await stack.do("published")).data == []


async def test_leaving_while_something_runs_asks_first(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.plans(MODEL, "left")
        reached = asyncio.Event()
        with fault_at(6, "after", None, reached):
            await operator.press("ctrl+s")
            await until(reached.is_set)
            await operator.press("ctrl+q")
            await operator.sees("Leave while something runs?", "Publish a model")
            await operator.press("n")
            await operator.sees_no("Leave while something runs?")
            assert operator.app.is_running
            await operator.press("ctrl+q")
            await operator.sees("Leave while something runs?")
            await operator.press("y")
            await until(lambda: not operator.app.is_running)
            assert await asyncio.to_thread(operator.app.bridge.close)
    assert await stack.objects(BACKEND, SECRET) == []
    assert await stack.entries() == {}


async def test_a_bad_filter_says_where_and_keeps_the_list(opened: Opens) -> None:
    async with opened() as operator:
        await operator.finds("provider:deepinfra llama", "7 of 1,305 models")
        await operator.press("slash", "' pric:free")
        await operator.sees("nothing is called pric; did you mean price?", "^^^^")
        await operator.press(*["backspace"] * len(" pric:free"))
        await operator.sees("7 of 1,305 models")
        await operator.sees_no("did you mean")


async def test_an_unknown_profile_ends_the_console_with_a_sentence(opened: Opens, stack: Running) -> None:
    from console.app import Console
    from console.config import load_profile
    from tests.support.console import TERMINAL

    app = Console(lambda: load_profile(config=stack.layout.profile, profile="nowhere"), terminal=TERMINAL)
    async with app.run_test(size=(80, 24)):
        await until(lambda: not app.is_running)
    await asyncio.to_thread(app.bridge.close)
    assert app.return_code == Ending.REFUSED.exit_code


async def test_two_operators_see_what_the_other_does(opened: Opens, stack: Running) -> None:
    async with opened() as one, opened() as other:
        await other.press("5")
        await other.sees("no keys yet")
        await one.issues("shared")
        await other.sees("shared", "● active", within=5)
        await other.press("D")
        await other.sees("Revoke a key")
        await other.press("y")
        await one.sees("no keys yet", within=5)
