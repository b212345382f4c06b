"""The journey by keys alone on the real stack: from a sync to an unpublish, and what the other faces see of it."""

from __future__ import annotations

import pytest

from console.guard import system_permit
from console.k8s.cluster import Cluster
from console.k8s.types import BACKEND_TRAFFIC_POLICY, Ref
from tests.e2e.console.conftest import Opens
from tests.support.stack import Running
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_whole_journey_by_keys(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        # Sync, and find a model.
        await operator.press("7", "R")
        await operator.sees("✓ Sync the catalog with its providers", "providers in order", within=30)
        await operator.finds("provider:deepinfra llama-3.1-8b ctx>=100k", "2 of")

        # Publish it, with the plan before it.
        await operator.press("p")
        await operator.sees("deepinfra/meta-llama/Llama-3.1-8B-Instruct", "for which tenant?")
        await operator.press("'acme", "enter")
        await operator.sees("Plan: 8 objects, 1 Redis key", "+ SecurityPolicy acme/")
        assert await stack.entries() == {}, "a plan writes nothing"
        await operator.press("ctrl+s")
        await operator.sees("✓ done", "✓ live probe")
        await operator.press("4")
        await operator.sees("Llama-3.1-8B-Instruct", "● ready")
        assert list(await stack.entries()) == ["Llama-3.1-8B-Instruct"]

        # A key: shown once, and it works.
        old = await operator.issues("chat")
        assert (await stack.chat(old, "Llama-3.1-8B-Instruct")).status_code == 200
        assert old not in operator.screen
        await operator.sees("● active")

        # Rotated: both work; finished: the new one only; revoked: none.
        await operator.press("r")
        await operator.sees("Rotate a key: chat")
        await operator.press("ctrl+s")
        shown = await operator.sees("Shown this once")
        new = next(word for word in shown.split() if word.startswith("bud_client_"))
        await operator.press("y")
        await operator.sees("rotating 14:5", "◐ until", "gen 2")
        assert [(await stack.chat(key, "Llama-3.1-8B-Instruct")).status_code for key in (old, new)] == [200, 200]
        await operator.press("x")
        await operator.sees("End a rotation's grace now")
        await operator.press("y")
        await operator.sees("● active", "✖ ended")
        assert [(await stack.chat(key, "Llama-3.1-8B-Instruct")).status_code for key in (old, new)] == [401, 200]
        await operator.press("D")
        await operator.sees("Every text of the key stops working at once")
        await operator.press("y")
        await operator.sees("no keys yet")
        assert (await stack.chat(new, "Llama-3.1-8B-Instruct")).status_code == 401

        # The feed has heard of all of it, and shows no key.
        await operator.press("6")
        await operator.sees("+Llama-3.1-8B-Instruct", "gen 2", "DEL")
        assert old not in operator.screen
        assert new not in operator.screen

        # Unpublished: after its plan and a yes, nothing is left.
        await operator.press("4")
        await operator.sees("● ready")
        await operator.press("D")
        await operator.sees("unpublish Llama-3.1-8B-Instruct: ", "− AIGatewayRoute")
        await operator.press("ctrl+s")
        await operator.sees("The route goes first")
        await operator.press("y")
        await operator.sees("nothing is published")
        assert await stack.entries() == {}

        # The audit has a row for everything that was done.
        await operator.press("8")
        await operator.sees("unpublish", "keys.revoke", "keys.finish", "keys.rotate", "keys.create", "publish")


async def test_limits_are_changed_after_a_look_at_what_they_are(opened: Opens, stack: Running) -> None:
    await stack.publish()
    async with opened() as operator:
        await operator.press("4")
        await operator.sees("● ready", "no request limit")
        await operator.press("u")
        await operator.sees("Change a publication: llama")
        await operator.press("'30", "ctrl+s")
        await operator.sees("update llama: 1 object", "spec.rateLimit", "^s apply")
        await operator.press("ctrl+s")
        await operator.sees("30 requests a minute for each key")
        await until(lambda: not operator.app.bridge.running)
        await operator.press("u")
        await operator.sees("Change a publication", "30", "^s apply")
        await operator.press("backspace", "backspace", "ctrl+s")
        await operator.sees("update llama: 1 object")
        await operator.press("ctrl+s")
        await operator.sees("no request limit")
        await until(lambda: not operator.app.bridge.running)


async def test_a_change_by_hand_shows_itself_and_is_repaired_or_adopted_with_a_key(
    opened: Opens, stack: Running
) -> None:
    await stack.publish()
    by_hand = system_permit("by hand")
    policy = Ref(BACKEND_TRAFFIC_POLICY, "pub-llama", "acme")
    kim = await Cluster.connect(kubeconfig=stack.services.profile.kubernetes.kubeconfig, manager="kim")
    async with opened() as operator:
        await operator.press("4")
        await operator.sees("● ready", "300 s")
        for seconds, key, ended in (("7s", "r", "300 s"), ("2m", "a", "120 s")):
            await kim.patch(by_hand, policy, {"spec": {"timeout": {"http": {"requestTimeout": seconds}}}})
            await operator.sees("▲ drifted", "by kim", within=8)
            await operator.press("d")
            await operator.sees(f'"{seconds}"', "r repair", "a adopt")
            await operator.press(key)
            await operator.sees("● ready", ended, within=10)
            await until(lambda: not operator.app.bridge.running)
    await kim.close()


async def test_what_others_do_is_shown_without_a_key(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.press("4")
        await operator.sees("nothing is published")
        await stack.publish()
        await operator.sees("llama", "● ready", within=10)
        await operator.press("5")
        await operator.sees("no keys yet")
        await stack.key("theirs")
        await operator.sees("theirs", "● active", within=10)


async def test_the_commands_line_does_what_the_command_line_does(opened: Opens, stack: Running) -> None:
    async with opened() as operator:
        await operator.press("colon", "'keys create robot --tenant acme", "enter")
        await operator.sees("Shown this once", "robot")
        await operator.press("y", "colon", "'keys show robot", "enter")
        await operator.sees("Show a key", "robot")
        await operator.press("escape", "5")
        await operator.sees("robot", "● active")
        assert [row["name"] for row in (await stack.do("keys.list")).data] == ["robot"]


async def test_nothing_is_told_twice_to_the_journal(opened: Opens, stack: Running) -> None:
    """Ctrl+s pressed twice in a row begins one publish."""
    async with opened() as operator:
        await operator.plans("deepinfra/meta-llama/Llama-3.1-8B-Instruct", "once")
        await operator.press("ctrl+s", "ctrl+s")
        await operator.sees("✓ done")
        begun = [job for job in operator.app.bridge.jobs if job.action.id == "publish"]
        assert len(begun) == 1
        await until(lambda: not operator.app.bridge.running)


async def test_while_a_key_rotates_it_is_seen_whether_the_old_text_is_still_used(opened: Opens, stack: Running) -> None:
    await stack.publish()
    old = await stack.key("turning")
    await stack.do("keys.rotate", key="turning")
    async with opened((120, 40)) as operator:
        await operator.press("5")
        await operator.sees("turning", "rotating", "gen 1", "never used")
        assert (await stack.chat(old, "llama")).status_code == 200
        await operator.sees("1 use, now")
